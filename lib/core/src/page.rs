//! Pages: shared memory through which the programs exchange data.
//!
//! Each daemon publishes two pages of POSIX shared memory; readers map them read-only:
//! - the **clock page** ([`Dante4l`], [`Dante2sys`], [`Danteshm`]), by which other programs steer or relay. Its layout is stable:
//!   fields are only appended, a reader accepts any size of its major version, and fields that a page lacks are zero.
//! - the **status page** ([`Dante4lStatus`], [`Dante2sysStatus`], [`DanteshmStatus`]), which pmc-lite shows. Its layout may
//!   change with any version.
//!
//! A page consists of a head of sixteen 64-bit words ([`Head`]), a body and a tail (one word, the checksum of both), in the
//! machine's byte order. The sequence in the head guards the body (a seqlock). Readers have read-only memory, on which Rust allows
//! Relaxed atomic loads only, so both sides use Relaxed word accesses and fences; see [`Words`]. docs/pages.md specifies the clock
//! pages byte by byte.

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
    CandidateRecord, Dante2sysStatus, Dante4lStatus, DanteshmStatus, DiagnosticRecord, ForeignLeaderRecord,
    LeaderRecord, LineRecord, MAX_OUTPUTS, MAX_PORTS, MAX_SHOWN, OutputRecord, PORT_HAS_DELAY,
    PORT_HAS_LEADER, PORT_HAS_MAP, PORT_HAS_SAMPLE, PortRecord, STATUS_HAS_LINE, STATUS_HAS_PHASE,
    STATUS_HAS_SCALE, STATUS_HAS_UTC, STATUS_UTC_BY_HAND, STATUS_UTC_SYNCHRONISED, UtcRecord,
};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Body of a page.
pub trait Body: FromBytes + IntoBytes + KnownLayout + Immutable + Clone {
    /// The program that writes the page.
    const PROGRAM: &'static str;
    /// Number of the page's type, in [`Head::Layout`].
    const KIND: u32;
    /// Whether the page is a clock page or a status page.
    const FORM: Form;
    /// Major version of a clock page, or layout number of a status page, which rises with every change of the layout.
    const VERSION: u32;
    /// The array at the end of the body, if there is one.
    const ARRAY: Option<Array> = None;
    /// Size of head, body and tail, bytes.
    const SIZE: usize = HEAD_SIZE + size_of::<Self>() + TAIL_SIZE;
    /// Sizes of the page as this version writes it.
    const SHAPE: Shape = Shape { size: Self::SIZE, array: Self::ARRAY };

    /// Converts the body of a page of another size: fields that it lacks are zero, fields that this version does not know are
    /// skipped. `bytes` are the bytes between head and tail.
    fn of_shape(bytes: &[u8], shape: Shape) -> Self {
        fields_of_shape(bytes, shape)
    }
}

/// Converts the fields before the array; the array stays zero.
fn fields_of_shape<B: Body>(bytes: &[u8], shape: Shape) -> B {
    let mut body = B::new_zeroed();
    copy(body.as_mut_bytes(), bytes, shape.fields().min(B::SHAPE.fields()));
    body
}

/// Copies the first `count` bytes, or fewer if either side is shorter.
fn copy(to: &mut [u8], from: &[u8], count: usize) {
    to.iter_mut().zip(from).take(count).for_each(|(to, from)| *to = *from);
}

/// A consistent copy of a page.
#[derive(Debug, Clone)]
pub struct View<B> {
    /// Whether the writer is alive.
    pub freshness: Freshness,
    /// Process id of the writer.
    pub pid: u32,
    /// Random number of the writer's run.
    pub instance: u64,
    /// The data.
    pub body: B,
}

#[cfg(test)]
mod tests;
