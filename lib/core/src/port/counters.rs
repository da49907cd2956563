//! Counters of a port's packets, one for each type of message and for each reason not to use a packet.

use crate::named;
use crate::wire::WireError;

named! {
    /// The counters, in the order of the status page. New ones are appended.
    pub enum Counter {
        /// Syncs of the subdomain that is followed.
        Sync "sync",
        /// Follow_Ups of the subdomain that is followed.
        FollowUp "follow_up",
        /// Delay_Reqs of other followers.
        DelayReq "delay_req",
        /// Delay_Resps to any follower.
        DelayResp "delay_resp",
        /// Management messages.
        Management "management",
        /// Delay_Reqs that this port sent.
        DelayReqSent "delay_req_sent",
        /// Packets with this host's own UUID.
        Own "own",
        /// PTPv1 packets of another subdomain.
        OtherSubdomain "other_subdomain",
        /// PTPv2 packets on the same UDP ports.
        PtpV2 "ptp_v2",
        /// Packets of neither PTPv1 nor PTPv2.
        UnknownVersion "unknown_version",
        /// Packets shorter than their message type requires.
        WrongLength "wrong_length",
        /// Packets with fields that contradict each other or the standard.
        Malformed "malformed",
        /// Event messages on the general port, and general messages on the event port.
        WrongPort "wrong_port",
        /// Syncs and Follow_Ups received twice, and Syncs received after their successor.
        Repeated "repeated",
        /// Leaders that found the table of foreign leaders full.
        TooManyLeaders "too_many_leaders",
        /// Measurements rejected by the outlier test.
        Outlier "outlier",
        /// Measurements older than the last one.
        Late "late",
        /// Syncs without a timestamp of the kernel.
        RxTimestampMissing "rx_timestamp_missing",
        /// Delay_Reqs of this port without a transmit timestamp.
        TxTimestampMissing "tx_timestamp_missing",
        /// Syncs without a usable timestamp, because its clock was stepped near it.
        ClockStepped "clock_stepped",
        /// Outputs that were lost because the queue was full: a fault of this program.
        OutputLost "output_lost",
        /// Packets that the kernel dropped because a socket buffer was full.
        KernelDropped "kernel_dropped",
        /// How often the multicast group was left and joined again, for an IGMP report.
        Rejoined "rejoined",
        /// Packets of leaders that the operator's rules do not permit.
        NotPermitted "not_permitted",
        /// Two-step Syncs of the leader without a Follow_Up.
        SyncUnpaired "sync_unpaired",
        /// Follow_Ups of the leader without a Sync.
        FollowUpUnpaired "follow_up_unpaired",
        /// Packets with the identity of a foreign leader at another address.
        SecondAddress "second_address",
        /// Syncs and Follow_Ups of the leader that contradict its other ones.
        Contradicting "contradicting",
    }
}

/// All counters of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters([u64; Counters::COUNT]);

impl Counters {
    /// Number of counters.
    pub const COUNT: usize = Counter::ALL.len();

    /// The counters as read from a page.
    pub const fn from_values(values: [u64; Self::COUNT]) -> Self {
        Self(values)
    }

    /// The values in the order of [`Counter`].
    pub const fn values(&self) -> &[u64; Self::COUNT] {
        &self.0
    }

    /// Names and values in the order of [`Counter`].
    pub fn by_name(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Counter::ALL.map(Counter::name).into_iter().zip(self.0)
    }

    /// The value of a counter.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0.get(counter as usize).copied().unwrap_or(0)
    }

    pub(super) fn add(&mut self, counter: Counter) {
        self.add_many(counter, 1);
    }

    pub(super) fn set(&mut self, counter: Counter, count: u64) {
        if let Some(value) = self.0.get_mut(counter as usize) {
            *value = count;
        }
    }

    pub(super) fn add_many(&mut self, counter: Counter, count: u64) {
        if let Some(value) = self.0.get_mut(counter as usize) {
            *value = value.saturating_add(count);
        }
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self([0; Self::COUNT])
    }
}

impl Counter {
    /// The counter of packets with this decoding error.
    pub(super) const fn of_error(error: WireError) -> Self {
        match error {
            WireError::Version2 => Self::PtpV2,
            WireError::Version(_) => Self::UnknownVersion,
            WireError::TooShort { .. } | WireError::ParameterLength { .. } => Self::WrongLength,
            WireError::MessageType { .. } | WireError::Control(_) | WireError::Time { .. } => Self::Malformed,
        }
    }
}
