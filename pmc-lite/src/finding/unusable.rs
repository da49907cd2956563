//! The finding of a network interface that dante4l cannot use.

use super::{Finding, Kind};
use crate::pages::{Pages, unit};
use dante_core::page::{Body, Dante4lStatus, PortRecord};
use dante_core::port::InterfaceFault;

/// Returns the finding that dante4l cannot use the interface, with the cause that it published.
pub(super) fn unusable(port: &PortRecord, pages: &Pages) -> Finding {
    let interface = port.interface;
    let unit = unit(Dante4lStatus::PROGRAM, pages.instance.as_ref());
    let again = "dante4l uses it as soon as it is ready";
    let status = format!("for the cause: systemctl status {unit}");
    let (why, remedy) = match port.fault() {
        Some(InterfaceFault::Absent) => (
            ": there is no such network interface",
            format!("check its name: ip -br link; {again}, or name another one with -i"),
        ),
        Some(InterfaceFault::Down) => {
            (": it is down", format!("bring it up: ip link set {interface} up; {again}"))
        }
        Some(InterfaceFault::NoCarrier) => (
            ": it has no carrier",
            format!("connect the cable, and check the device at its other end; {again}"),
        ),
        Some(InterfaceFault::NoAddress) => {
            (": it has no IPv4 address", format!("check it: ip -br addr show {interface}; {again}"))
        }
        Some(InterfaceFault::PortInUse) => (
            ": another program uses a UDP port of PTP",
            "find it: ss -ulnp '( sport = :319 or sport = :320 )', and stop it".to_owned(),
        ),
        Some(InterfaceFault::NotPermitted) => (": a permission is missing", status),
        Some(InterfaceFault::Card) => {
            (": the network card does not give the required hardware timestamps", status)
        }
        Some(InterfaceFault::System) => (": the kernel refused a request", status),
        Some(InterfaceFault::Port) => (
            ": it is a port of a bridge or a bond, which receives its packets",
            format!("name that one with -i: `ip link show {interface}` has it after `master`"),
        ),
        Some(InterfaceFault::None) | None => ("", status),
    };
    Finding::failure(format!("dante4l cannot use {interface}{why}"))
        .kind(Kind::InterfaceUnusable)
        .remedy(remedy)
}

#[cfg(test)]
mod tests {
    use crate::finding::{self, Kind};
    use crate::scenes;
    use dante_core::page::Dante4lStatus;
    use dante_core::port::InterfaceFault;

    /// The finding, with this number of the cause on the page.
    fn finding(fault: u8) -> String {
        let mut pages = scenes::faulty();
        let view = pages.dante4l.as_mut().unwrap();
        let body: &mut Dante4lStatus = &mut view.body;
        body.ports[0].fault = fault;
        let found = finding::observer(&pages);
        let one = found.iter().find(|one| one.kind == Kind::InterfaceUnusable).unwrap();
        format!("{}; {}", one.what(), one.remedy.as_deref().unwrap())
    }

    #[test]
    fn port_in_use_or_missing_permission_is_not_reported_as_a_missing_interface() {
        for (fault, expected) in [
            (InterfaceFault::Absent, "no such network interface"),
            (InterfaceFault::NoCarrier, "cable"),
            (InterfaceFault::NoAddress, "no IPv4 address"),
            (InterfaceFault::PortInUse, "ss -ulnp"),
            (
                InterfaceFault::NotPermitted,
                "a permission is missing; for the cause: systemctl status dante4l",
            ),
            (InterfaceFault::Card, "hardware timestamps"),
            (InterfaceFault::System, "systemctl status dante4l"),
            (InterfaceFault::Port, "after `master`"),
        ] {
            let text = finding(fault as u8);
            assert!(text.contains(expected), "{text}");
            let is_about_address = fault == InterfaceFault::NoAddress;
            assert_eq!(text.contains("IPv4"), is_about_address, "{text}");
        }
    }

    #[test]
    fn unknown_cause_is_not_guessed() {
        for fault in [0, 200] {
            assert_eq!(finding(fault), "dante4l cannot use eth7; for the cause: systemctl status dante4l");
        }
    }
}
