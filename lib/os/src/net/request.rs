//! ioctl(2) requests for one interface by name: ethtool requests, and the card's timestamping setting. Those that only read
//! need no privilege.

use super::card::{Capabilities, Filter, Setting};
use nix::errno::Errno;
use socket2::{Domain, Socket, Type};
use std::os::fd::AsRawFd;

/// `struct ethtool_ts_info` of `<linux/ethtool.h>`.
#[repr(C)]
#[derive(Default)]
struct TsInfo {
    cmd: u32,
    so_timestamping: u32,
    phc_index: i32,
    tx_types: u32,
    tx_reserved: [u32; 3],
    rx_filters: u32,
    rx_reserved: [u32; 3],
}

const _: () = assert!(size_of::<TsInfo>() == 44);

/// ETHTOOL_GET_TS_INFO of `<linux/ethtool.h>`.
const GET_TS_INFO: u32 = 0x41;

mod ioctl {
    nix::ioctl_readwrite_bad!(ethtool, libc::SIOCETHTOOL, libc::ifreq);
    nix::ioctl_readwrite_bad!(get_timestamping, libc::SIOCGHWTSTAMP, libc::ifreq);
    nix::ioctl_readwrite_bad!(set_timestamping, libc::SIOCSHWTSTAMP, libc::ifreq);
}

/// Timestamping capabilities of the card (ETHTOOL_GET_TS_INFO).
pub(super) fn capabilities(name: &str) -> nix::Result<Capabilities> {
    let mut info = TsInfo { cmd: GET_TS_INFO, ..TsInfo::default() };
    // SAFETY: for this request the kernel reads the command and writes an ethtool_ts_info, the type of `info`.
    unsafe { request(name, &mut info, ioctl::ethtool) }?;
    let TsInfo { so_timestamping, phc_index, tx_types, rx_filters, .. } = info;
    Ok(Capabilities { so_timestamping, clock: u32::try_from(phc_index).ok(), tx_types, rx_filters })
}

/// Present setting of the card (SIOCGHWTSTAMP). EOPNOTSUPP or ENOTTY: the driver cannot report it.
pub(super) fn timestamping(name: &str) -> nix::Result<Setting> {
    let mut config = libc::hwtstamp_config { flags: 0, tx_type: 0, rx_filter: 0 };
    // SAFETY: the kernel writes a hwtstamp_config, the type of `config`.
    unsafe { request(name, &mut config, ioctl::get_timestamping) }?;
    Ok(Setting { transmit: config.tx_type, filter: Filter(config.rx_filter) })
}

/// Changes the card's setting (SIOCSHWTSTAMP). Returns the setting that the driver made.
pub(super) fn set_timestamping(name: &str, to: Setting) -> nix::Result<Setting> {
    let mut config = libc::hwtstamp_config { flags: 0, tx_type: to.transmit, rx_filter: to.filter.0 };
    // SAFETY: the kernel reads and writes a hwtstamp_config, the type of `config`.
    unsafe { request(name, &mut config, ioctl::set_timestamping) }?;
    Ok(Setting { transmit: config.tx_type, filter: Filter(config.rx_filter) })
}

type Call = unsafe fn(libc::c_int, *mut libc::ifreq) -> nix::Result<libc::c_int>;

/// # Safety
/// With this content of `data`, `call` must not access more than a `T`.
unsafe fn request<T>(name: &str, data: &mut T, call: Call) -> nix::Result<()> {
    // Not bound to an address: a network namespace may have none yet.
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    // SAFETY: ifreq consists of integers and a pointer, for which zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero: no interface has a longer name.
    if name.len() >= request.ifr_name.len() {
        return Err(Errno::ENODEV);
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request.ifr_ifru.ifru_data = std::ptr::from_mut(data).cast();
    // SAFETY: the request contains a terminated name and a pointer to `data`; both outlive the call, which accesses nothing
    // else, as the caller guarantees.
    unsafe { call(socket.as_raw_fd(), &raw mut request) }.map(drop)
}
