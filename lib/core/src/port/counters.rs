//! What a port heard and what became of it: one counter for each reason.

use crate::wire::WireError;

/// Names a counter. The order is that of the page; new ones go to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Counter {
    /// Syncs of the subdomain followed.
    Sync,
    /// Follow_Ups of the subdomain followed.
    FollowUp,
    /// Delay_Reqs of other followers.
    DelayReq,
    /// Delay_Resps, for whomever.
    DelayResp,
    /// Management messages.
    Management,
    /// Delay_Reqs that this port sent.
    DelayReqSent,
    /// Packets of this port's own, looped back.
    Own,
    /// PTPv1 of another subdomain.
    OtherSubdomain,
    /// PTPv2 on the same ports.
    PtpV2,
    /// Neither PTPv1 nor PTPv2.
    UnknownVersion,
    /// Too short for what it claims to be.
    WrongLength,
    /// Fields that contradict each other or the standard.
    Malformed,
    /// An event message on the general port, or the reverse.
    WrongPort,
    /// A Sync that was there already, or that came after its successor.
    Repeated,
    /// More leaders at once than are remembered.
    TooManyLeaders,
    /// Measurements that the estimator did not believe.
    Outlier,
    /// Measurements older than the last one.
    Late,
    /// Syncs without a kernel time stamp.
    RxStampMissing,
    /// Delay_Reqs of this port without a transmit stamp.
    TxStampMissing,
    /// Syncs near which CLOCK_REALTIME was stepped.
    ClockStepped,
    /// Something to tell that found no room: a fault of this program.
    OutputLost,
    /// Packets that the kernel dropped, since nobody fetched them in time.
    KernelDropped,
    /// How often the membership of the multicast group was told to the network anew.
    Rejoined,
    /// Packets of leaders that the operator does not permit.
    NotPermitted,
    /// Two-step Syncs of the leader whose Follow_Up never came.
    SyncUnpaired,
    /// Follow_Ups whose Sync never came.
    FollowUpUnpaired,
    /// Packets that claim the identity of another sender.
    SecondAddress,
    /// Syncs and Follow_Ups of the leader that contradict its others.
    Contradicting,
}

impl Counter {
    /// What it is called outside.
    pub fn name(self) -> &'static str {
        Counters::NAMES.get(self as usize).copied().unwrap_or_default()
    }
}

/// All counters of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters([u64; Counters::COUNT]);

impl Counters {
    /// How many there are.
    pub const COUNT: usize = Self::NAMES.len();

    /// What they are called outside, in the order of [`Counter`].
    pub const NAMES: [&'static str; 28] = [
        "sync",
        "follow_up",
        "delay_req",
        "delay_resp",
        "management",
        "delay_req_sent",
        "own",
        "other_subdomain",
        "ptp_v2",
        "unknown_version",
        "wrong_length",
        "malformed",
        "wrong_port",
        "repeated",
        "too_many_leaders",
        "outlier",
        "late",
        "rx_stamp_missing",
        "tx_stamp_missing",
        "clock_stepped",
        "output_lost",
        "kernel_dropped",
        "rejoined",
        "not_permitted",
        "sync_unpaired",
        "follow_up_unpaired",
        "second_address",
        "contradicting",
    ];

    /// As read from a page.
    pub const fn from_values(values: [u64; Self::COUNT]) -> Self {
        Self(values)
    }

    /// In the order of [`Self::NAMES`].
    pub const fn values(&self) -> &[u64; Self::COUNT] {
        &self.0
    }

    /// Each with its name, in the order of [`Counter`].
    pub fn by_name(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Self::NAMES.into_iter().zip(self.0)
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

const _: () = assert!(Counter::Contradicting as usize + 1 == Counters::COUNT, "a counter without a name");
