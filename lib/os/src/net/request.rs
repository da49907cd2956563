//! Requests about one interface by its name (ioctl(2)): ethtool's, and how its card stamps packets. Those that only ask
//! need no right.

use super::card::{Abilities, Filter, Setting};
use nix::errno::Errno;
use socket2::{Domain, Socket, Type};
use std::os::fd::AsRawFd;

/// `struct ethtool_drvinfo` of `<linux/ethtool.h>`.
#[repr(C)]
struct DriverInfo {
    cmd: u32,
    driver: [u8; 32],
    rest: [u8; 160],
}

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

const _: () = assert!(size_of::<DriverInfo>() == 196 && size_of::<TsInfo>() == 44);

/// ETHTOOL_GDRVINFO and ETHTOOL_GET_TS_INFO of `<linux/ethtool.h>`.
const GDRVINFO: u32 = 0x03;
const GET_TS_INFO: u32 = 0x41;

mod ioctl {
    nix::ioctl_readwrite_bad!(ethtool, libc::SIOCETHTOOL, libc::ifreq);
    nix::ioctl_readwrite_bad!(get_timestamping, libc::SIOCGHWTSTAMP, libc::ifreq);
    nix::ioctl_readwrite_bad!(set_timestamping, libc::SIOCSHWTSTAMP, libc::ifreq);
}

/// The name of the driver behind an interface, if it says.
pub(super) fn driver(name: &str) -> Option<String> {
    let mut info = DriverInfo { cmd: GDRVINFO, driver: [0; 32], rest: [0; 160] };
    // SAFETY: of this request the kernel reads the command and writes a drvinfo, which `info` is.
    unsafe { request(name, &mut info, ioctl::ethtool) }.ok()?;
    let text = info.driver.split(|byte| *byte == 0).next()?;
    String::from_utf8(text.to_vec()).ok()
}

/// What the card can stamp (ETHTOOL_GET_TS_INFO).
pub(super) fn abilities(name: &str) -> nix::Result<Abilities> {
    let mut info = TsInfo { cmd: GET_TS_INFO, ..TsInfo::default() };
    // SAFETY: of this request the kernel reads the command and writes a ts_info, which `info` is.
    unsafe { request(name, &mut info, ioctl::ethtool) }?;
    let TsInfo { so_timestamping, phc_index, tx_types, rx_filters, .. } = info;
    Ok(Abilities { so_timestamping, clock: u32::try_from(phc_index).ok(), tx_types, rx_filters })
}

/// What the card stamps now (SIOCGHWTSTAMP). EOPNOTSUPP or ENOTTY: the driver cannot be asked.
pub(super) fn stamping(name: &str) -> nix::Result<Setting> {
    let mut config = libc::hwtstamp_config { flags: 0, tx_type: 0, rx_filter: 0 };
    // SAFETY: the kernel writes a hwtstamp_config, which `config` is.
    unsafe { request(name, &mut config, ioctl::get_timestamping) }?;
    Ok(Setting { transmit: config.tx_type, filter: Filter(config.rx_filter) })
}

/// Tells the card what to stamp (SIOCSHWTSTAMP), and returns what the driver made of it.
pub(super) fn set_timestamping(name: &str, to: Setting) -> nix::Result<Setting> {
    let mut config = libc::hwtstamp_config { flags: 0, tx_type: to.transmit, rx_filter: to.filter.0 };
    // SAFETY: the kernel reads and writes a hwtstamp_config, which `config` is.
    unsafe { request(name, &mut config, ioctl::set_timestamping) }?;
    Ok(Setting { transmit: config.tx_type, filter: Filter(config.rx_filter) })
}

type Call = unsafe fn(libc::c_int, *mut libc::ifreq) -> nix::Result<libc::c_int>;

/// # Safety
/// `call`, as `data` is filled in, reads and writes no more than a `T`.
unsafe fn request<T>(name: &str, data: &mut T, call: Call) -> nix::Result<()> {
    // Not bound to an address: a network namespace need not have any yet.
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    // SAFETY: ifreq is made of integers and a pointer, for all of which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero: a name that does not fit is none.
    if name.len() >= request.ifr_name.len() {
        return Err(Errno::ENODEV);
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request.ifr_ifru.ifru_data = std::ptr::from_mut(data).cast();
    // SAFETY: the request holds a terminated name and a pointer to `data`; both outlive the call, which writes nothing
    // else, as the caller vouches.
    unsafe { call(socket.as_raw_fd(), &raw mut request) }.map(drop)
}
