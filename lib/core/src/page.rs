//! Pages: how the programs meet.
//!
//! Each daemon publishes two pages of POSIX shared memory; readers map them read-only:
//! - the **clock page** ([`Dante4l`], [`Dante2sys`], [`Danteshm`]), by which other programs steer or relay. It is stable:
//!   fields are only ever appended, and a reader takes any size of its major version; what a page lacks is zero.
//! - the **status page** ([`Dante4lStatus`], [`Dante2sysStatus`], [`DanteshmStatus`]), which pmc-lite shows. Its layout may
//!   change with any version.
//!
//! A page is a head of sixteen 64-bit words ([`Head`]), a body and a tail, a word that sums up both, in the byte order of the
//! machine. The body is guarded by the sequence (a seqlock). Readers have read-only memory, on which Rust allows Relaxed
//! atomic loads only, so both sides use Relaxed word accesses and fences; see [`Words`]. docs/pages.md has the clock pages
//! byte by byte.

mod dante2sys;
mod dante4l;
mod danteshm;
mod head;
mod record;
mod seqlock;
mod status;

pub use dante2sys::{
    Dante2sys, PieceRecord, STEER_HAS_PIECE, STEER_HAS_UTC, STEER_UTC_BY_HAND, STEER_UTC_SYNCHRONISED,
};
pub use dante4l::{
    CLOCK_HAS_LEADER, CLOCK_HAS_MAP, CLOCK_HAS_PATH_DELAY, CLOCK_LOCKED, Dante4l, MAP_HAS_PATH_DELAY,
    MapRecord, RING, SampleRecord, TIMESCALE_FREQUENCY_TRACEABLE, TIMESCALE_LEAP_59, TIMESCALE_LEAP_61,
    TIMESCALE_PTP, TIMESCALE_TRACEABLE, TIMESCALE_UTC_OFFSET_VALID,
};
pub use danteshm::Danteshm;
pub use head::{
    Array, Form, Freshness, HEAD_SIZE, HEAD_WORDS, HEARTBEAT, HEARTBEAT_RENEWAL, Head, Life, MAGIC, MAX_SIZE,
    Shape, TAIL_SIZE, constants, layout_word, tail_of,
};
pub use record::{SocketPath, Text};
pub use seqlock::{Torn, Words};
pub use status::{
    Dante2sysStatus, Dante4lStatus, DanteshmStatus, DiagnosticRecord, ForeignLeaderRecord, LeaderRecord,
    LineRecord, MAX_OUTPUTS, MAX_PORTS, OutputRecord, PORT_HAS_DELAY, PORT_HAS_LEADER, PORT_HAS_MAP,
    PORT_HAS_SAMPLE, PortRecord, STATUS_HAS_LINE, STATUS_HAS_PHASE, STATUS_HAS_SCALE, STATUS_HAS_UTC,
    STATUS_UTC_BY_HAND, STATUS_UTC_SYNCHRONISED, UtcRecord,
};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The body of one page.
pub trait Body: FromBytes + IntoBytes + KnownLayout + Immutable + Clone {
    /// The program that writes it.
    const PROGRAM: &'static str;
    /// In the head.
    const KIND: u32;
    /// What its version means.
    const FORM: Form;
    /// The major version of a clock page; of a status page it rises with every change of the layout.
    const VERSION: u32;
    /// The array that ends it.
    const ARRAY: Option<Array> = None;
    /// Of the whole page: head, body and tail.
    const SIZE: usize = HEAD_SIZE + size_of::<Self>() + TAIL_SIZE;
    /// The page as this version writes it.
    const SHAPE: Shape = Shape { size: Self::SIZE, array: Self::ARRAY };

    /// The body of a page of another size: fields that it lacks are zero, fields that this version does not know are left
    /// out. `bytes` are what stands between head and tail.
    fn of_shape(bytes: &[u8], shape: Shape) -> Self {
        fields_of_shape(bytes, shape)
    }
}

/// The fields in front of the array, which stays zero.
fn fields_of_shape<B: Body>(bytes: &[u8], shape: Shape) -> B {
    let mut body = B::new_zeroed();
    copy(body.as_mut_bytes(), bytes, shape.fields().min(B::SHAPE.fields()));
    body
}

/// As many of the first `count` bytes as there are on both sides.
fn copy(to: &mut [u8], from: &[u8], count: usize) {
    to.iter_mut().zip(from).take(count).for_each(|(to, from)| *to = *from);
}

/// A page as it was at one moment.
#[derive(Debug, Clone)]
pub struct View<B> {
    /// Whether its writer is alive.
    pub freshness: Freshness,
    /// The writer's process.
    pub pid: u32,
    /// The writer's random number.
    pub instance: u64,
    /// What it publishes.
    pub body: B,
}

#[cfg(test)]
mod tests;
