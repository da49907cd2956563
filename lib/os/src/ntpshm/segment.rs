//! The segment: its layout, and the system calls that create, attach and remove it.

use super::ShmError;
use nix::errno::Errno;
use std::mem::offset_of;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU32};

/// System V key of unit 0, "NTP0".
pub(super) const KEY: u32 = 0x4e54_5030;

/// `struct shmTime`, as refclock_shm.c of ntpd and of chrony declare it.
#[repr(C)]
pub(super) struct Fields {
    pub mode: AtomicI32,
    pub count: AtomicI32,
    pub clock_sec: AtomicI64,
    pub clock_usec: AtomicI32,
    pub receive_sec: AtomicI64,
    pub receive_usec: AtomicI32,
    pub leap: AtomicI32,
    pub precision: AtomicI32,
    /// Not used by any reader.
    nsamples: AtomicI32,
    pub valid: AtomicI32,
    pub clock_nsec: AtomicU32,
    pub receive_nsec: AtomicU32,
    dummy: [AtomicI32; 8],
}

const _: () = {
    assert!(size_of::<Fields>() == 96);
    assert!(offset_of!(Fields, count) == 4);
    assert!(offset_of!(Fields, clock_sec) == 8);
    assert!(offset_of!(Fields, clock_usec) == 16);
    assert!(offset_of!(Fields, receive_sec) == 24);
    assert!(offset_of!(Fields, receive_usec) == 32);
    assert!(offset_of!(Fields, leap) == 36);
    assert!(offset_of!(Fields, precision) == 40);
    assert!(offset_of!(Fields, nsamples) == 44);
    assert!(offset_of!(Fields, valid) == 48);
    assert!(offset_of!(Fields, clock_nsec) == 52);
    assert!(offset_of!(Fields, receive_nsec) == 56);
    assert!(offset_of!(Fields, dummy) == 60);
};

/// An attached segment. Dropping this detaches it but does not remove it.
#[derive(Debug)]
pub(super) struct Mapping {
    unit: u32,
    id: i32,
    address: NonNull<Fields>,
}

// SAFETY: an attachment belongs to the process, not to a thread, and all of its fields are atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above; a shared reference gives atomics only.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub fn create(unit: u32, mode: u32) -> Result<Self, ShmError> {
        let flags = libc::IPC_CREAT | i32::try_from(mode & 0o777).unwrap_or(0);
        let id = get(unit, size_of::<Fields>(), flags)?;
        let mapping = Self::attach(unit, id, 0)?;
        let state = mapping.state()?;
        // shmget accepts a larger segment, but it is not one of this protocol.
        if state.shm_segsz != size_of::<Fields>() {
            return Err(ShmError::WrongSize { unit });
        }
        // Creator and owner may write to the segment, and chronyd accepts its content.
        let perm = state.shm_perm;
        let us = nix::unistd::geteuid().as_raw();
        match [perm.uid, perm.cuid].into_iter().find(|user| ![0, us].contains(user)) {
            Some(owner) => Err(ShmError::Foreign { unit, owner }),
            None => Ok(mapping),
        }
    }

    pub fn state(&self) -> Result<libc::shmid_ds, ShmError> {
        // SAFETY: shmid_ds consists of integers, for which zero is valid.
        let mut state: libc::shmid_ds = unsafe { std::mem::zeroed() };
        // SAFETY: IPC_STAT fills the given struct, which outlives the call.
        Errno::result(unsafe { libc::shmctl(self.id, libc::IPC_STAT, &raw mut state) })
            .map_err(|cause| explain(self.unit, "reading the state of", cause))?;
        Ok(state)
    }

    /// Whether the key was removed (ipcrm): the memory remains until the last program detaches, and no other program finds it.
    pub fn is_removed(&self) -> bool {
        /// Flag in the mode of a segment that is destroyed with the last detachment (linux/shm.h).
        const SHM_DEST: u32 = 0o1000;
        match self.state() {
            Ok(state) => u32::from(state.shm_perm.mode) & SHM_DEST != 0,
            Err(ShmError::Failed { cause, .. }) => matches!(cause, Errno::EIDRM | Errno::EINVAL),
            Err(_) => false,
        }
    }

    /// Number of attachments besides this one.
    pub fn other_attachments(&self) -> u64 {
        self.state().map_or(0, |state| state.shm_nattch.saturating_sub(1))
    }

    /// Attaches the segment read-only: only Relaxed loads are allowed.
    pub fn attach_read_only(unit: u32) -> Result<Self, ShmError> {
        let id = get(unit, size_of::<Fields>(), 0)?;
        Self::attach(unit, id, libc::SHM_RDONLY)
    }

    fn attach(unit: u32, id: i32, flags: i32) -> Result<Self, ShmError> {
        // SAFETY: with a null address the kernel chooses an unused one.
        let address = unsafe { libc::shmat(id, std::ptr::null(), flags) };
        if address.addr() == usize::MAX {
            return Err(explain(unit, "attaching", Errno::last()));
        }
        let address =
            NonNull::new(address.cast()).ok_or_else(|| explain(unit, "attaching", Errno::EINVAL))?;
        Ok(Self { unit, id, address })
    }

    pub fn fields(&self) -> &Fields {
        // SAFETY: a segment of 96 bytes or more (as requested from shmget) is mapped there, page-aligned, until drop; every bit
        // pattern is valid for these fields, and as atomics they may change at any time. Only NtpShmReader has a read-only
        // mapping, and it only loads.
        unsafe { self.address.as_ref() }
    }

    pub fn give_to(&self, uid: u32) -> Result<(), ShmError> {
        let mut state = self.state()?;
        if state.shm_perm.uid == uid {
            return Ok(());
        }
        state.shm_perm.uid = uid;
        // SAFETY: IPC_SET reads owner, group and mode from the given struct.
        Errno::result(unsafe { libc::shmctl(self.id, libc::IPC_SET, &raw mut state) })
            .map(drop)
            .map_err(|cause| explain(self.unit, "changing the owner of", cause))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the address came from shmat, and no reference into the segment outlives self.
        unsafe { libc::shmdt(self.address.as_ptr().cast()) };
    }
}

#[cfg(test)]
impl Mapping {
    pub fn id(&self) -> i32 {
        self.id
    }
}

/// Whether no segment has this identifier any more.
#[cfg(test)]
pub(super) fn is_gone(id: i32) -> bool {
    // SAFETY: shmid_ds consists of integers, for which zero is valid.
    let mut state: libc::shmid_ds = unsafe { std::mem::zeroed() };
    // SAFETY: IPC_STAT fills the given struct, which outlives the call.
    let found = Errno::result(unsafe { libc::shmctl(id, libc::IPC_STAT, &raw mut state) });
    matches!(found, Err(Errno::EINVAL | Errno::EIDRM))
}

pub(super) fn remove(unit: u32) -> Result<(), ShmError> {
    let id = get(unit, 0, 0)?;
    // SAFETY: IPC_RMID uses no buffer; programs that are attached keep the memory.
    Errno::result(unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) })
        .map(drop)
        .map_err(|cause| explain(unit, "removing", cause))
}

/// System V key of a unit.
pub(super) fn key(unit: u32) -> Result<i32, ShmError> {
    let key = KEY.checked_add(unit).and_then(|key| i32::try_from(key).ok());
    key.ok_or(ShmError::NoSuchUnit { unit })
}

/// Identifier of a segment with this size. With size 0, of an existing segment with any size and owner.
pub(super) fn get(unit: u32, size: usize, flags: i32) -> Result<i32, ShmError> {
    let key = key(unit)?;
    // SAFETY: shmget takes and returns plain integers.
    Errno::result(unsafe { libc::shmget(key, size, flags) }).map_err(|cause| match cause {
        Errno::EINVAL => ShmError::WrongSize { unit },
        cause => explain(unit, "opening", cause),
    })
}

fn explain(unit: u32, tried: &'static str, cause: Errno) -> ShmError {
    match cause {
        Errno::EACCES => ShmError::Refused { unit },
        Errno::ENOENT => ShmError::Missing { unit },
        cause => ShmError::Failed { tried, unit, cause },
    }
}
