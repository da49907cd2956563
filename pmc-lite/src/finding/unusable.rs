//! The finding of a network interface that dante4l cannot use.

use super::{Finding, Kind, naming};
use crate::pages::{Master, Pages, configuration, unit};
use dante_core::page::{Body, Dante4lStatus};
use dante_core::port::InterfaceFault;

/// Why an interface cannot be used, in a few words; `None` if it can.
pub const fn cause(fault: InterfaceFault) -> Option<&'static str> {
    Some(match fault {
        InterfaceFault::None => return None,
        InterfaceFault::Absent => "absent",
        InterfaceFault::Down => "down",
        InterfaceFault::NoCarrier => "no carrier",
        InterfaceFault::NoAddress => "no IPv4 address",
        InterfaceFault::PortInUse => "UDP port in use",
        InterfaceFault::NotPermitted => "permission missing",
        InterfaceFault::Card => "no hardware timestamps",
        InterfaceFault::System => "refused by the kernel",
        InterfaceFault::Port => "port of a bridge or bond",
    })
}

/// Returns the finding that dante4l cannot use the interface, with the cause that it published.
pub(super) fn unusable(interface: &str, fault: Option<InterfaceFault>, pages: &Pages) -> Finding {
    let unit = unit(Dante4lStatus::PROGRAM, pages.instance.as_ref());
    let again = "dante4l uses it as soon as it is ready";
    let status = format!("for the cause: systemctl status {unit}");
    let master = pages.surroundings.master(interface);
    let (why, remedy) = match fault {
        Some(InterfaceFault::Absent) => (
            ": there is no such network interface".into(),
            format!("check its name: ip -br link; {again}, or name another one with -i"),
        ),
        Some(InterfaceFault::Down) => {
            (": it is down".into(), format!("bring it up: ip link set {interface} up; {again}"))
        }
        Some(InterfaceFault::NoCarrier) => (
            ": it has no carrier".into(),
            format!("connect the cable, and check the device at its other end; {again}"),
        ),
        Some(InterfaceFault::NoAddress) => {
            (": it has no IPv4 address".into(), format!("check it: ip -br addr show {interface}; {again}"))
        }
        Some(InterfaceFault::PortInUse) => (
            ": another program uses a UDP port of PTP".into(),
            "find it: ss -ulnp '( sport = :319 or sport = :320 )', and stop it".to_owned(),
        ),
        Some(InterfaceFault::NotPermitted) => (": a permission is missing".into(), status),
        Some(InterfaceFault::Card) => {
            (": the network card does not give the required hardware timestamps".into(), status)
        }
        Some(InterfaceFault::System) => (": the kernel refused a request".into(), status),
        Some(InterfaceFault::Port) => match master {
            Some(Master { kind, name, .. }) => (
                format!(": it is a port of {kind} {name}, which receives its packets"),
                naming(name, &configuration(pages.instance.as_ref()), &unit),
            ),
            None => (
                ": it is a port of a bridge or a bond, which receives its packets".to_owned(),
                format!("name that one with -i: `ip link show {interface}` has it after `master`"),
            ),
        },
        Some(InterfaceFault::None) | None => (String::new(), status),
    };
    Finding::failure(format!("dante4l cannot use {interface}{why}"))
        .kind(Kind::InterfaceUnusable)
        .remedy(remedy)
}

#[cfg(test)]
mod tests {
    use crate::finding::{self, Kind};
    use crate::pages::Master;
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
    fn bridge_of_an_interface_is_named() {
        let mut pages = scenes::faulty();
        pages.dante4l.as_mut().unwrap().body.ports[0].fault = InterfaceFault::Port as u8;
        let master = Master { port: "eth7".into(), kind: "bridge".into(), name: "br0".into() };
        pages.surroundings.masters = vec![master];
        let found = finding::observer(&pages);
        assert_eq!(
            found[0].what(),
            "dante4l cannot use eth7: it is a port of bridge br0, which receives its packets"
        );
        assert!(found[0].remedy.as_ref().unwrap().contains("interface = \"br0\""));
    }

    #[test]
    fn unknown_cause_is_not_guessed() {
        for fault in [0, 200] {
            assert_eq!(finding(fault), "dante4l cannot use eth7; for the cause: systemctl status dante4l");
        }
    }
}
