//! What a port heard and what became of it: one counter for each reason.

use crate::named;
use crate::wire::WireError;

named! {
    /// Names a counter. The order is that of the page; new ones go to the end.
    pub enum Counter {
        /// Syncs of the subdomain followed.
        Sync "sync",
        /// Follow_Ups of the subdomain followed.
        FollowUp "follow_up",
        /// Delay_Reqs of other followers.
        DelayReq "delay_req",
        /// Delay_Resps, for whomever.
        DelayResp "delay_resp",
        /// Management messages.
        Management "management",
        /// Delay_Reqs that this port sent.
        DelayReqSent "delay_req_sent",
        /// Packets of this port's own, looped back.
        Own "own",
        /// PTPv1 of another subdomain.
        OtherSubdomain "other_subdomain",
        /// PTPv2 on the same ports.
        PtpV2 "ptp_v2",
        /// Neither PTPv1 nor PTPv2.
        UnknownVersion "unknown_version",
        /// Too short for what it claims to be.
        WrongLength "wrong_length",
        /// Fields that contradict each other or the standard.
        Malformed "malformed",
        /// An event message on the general port, or the reverse.
        WrongPort "wrong_port",
        /// A Sync that was there already, or that came after its successor.
        Repeated "repeated",
        /// More leaders at once than are remembered.
        TooManyLeaders "too_many_leaders",
        /// Measurements that the estimator did not believe.
        Outlier "outlier",
        /// Measurements older than the last one.
        Late "late",
        /// Syncs without a kernel time stamp.
        RxTimestampMissing "rx_timestamp_missing",
        /// Delay_Reqs of this port without a transmit stamp.
        TxTimestampMissing "tx_timestamp_missing",
        /// Syncs near which CLOCK_REALTIME was stepped.
        ClockStepped "clock_stepped",
        /// Something to tell that found no room: a fault of this program.
        OutputLost "output_lost",
        /// Packets that the kernel dropped, since nobody fetched them in time.
        KernelDropped "kernel_dropped",
        /// How often the membership of the multicast group was told to the network anew.
        Rejoined "rejoined",
        /// Packets of leaders that the operator does not permit.
        NotPermitted "not_permitted",
        /// Two-step Syncs of the leader whose Follow_Up never came.
        SyncUnpaired "sync_unpaired",
        /// Follow_Ups whose Sync never came.
        FollowUpUnpaired "follow_up_unpaired",
        /// Packets that claim the identity of another sender.
        SecondAddress "second_address",
        /// Syncs and Follow_Ups of the leader that contradict its others.
        Contradicting "contradicting",
    }
}

/// All counters of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters([u64; Counters::COUNT]);

impl Counters {
    /// How many there are.
    pub const COUNT: usize = Counter::ALL.len();

    /// As read from a page.
    pub const fn from_values(values: [u64; Self::COUNT]) -> Self {
        Self(values)
    }

    /// In the order of [`Counter`].
    pub const fn values(&self) -> &[u64; Self::COUNT] {
        &self.0
    }

    /// Each with its name, in the order of [`Counter`].
    pub fn by_name(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Counter::ALL.map(Counter::name).into_iter().zip(self.0)
    }

    /// The value of one.
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
    /// The counter for a packet that could not be read.
    pub(super) const fn of_error(error: WireError) -> Self {
        match error {
            WireError::Version2 => Self::PtpV2,
            WireError::Version(_) => Self::UnknownVersion,
            WireError::TooShort { .. } | WireError::ParameterLength { .. } => Self::WrongLength,
            WireError::MessageType { .. } | WireError::Control(_) | WireError::Time { .. } => Self::Malformed,
        }
    }
}
