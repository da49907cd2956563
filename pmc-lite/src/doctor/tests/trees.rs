//! Parsers of the doctor on imitated trees of /proc and /.

use crate::doctor::chrony::{Chrony, Refclock};
use crate::doctor::host::Running;
use crate::doctor::membership::Memberships;
use crate::doctor::ports::{self, Holder};
use crate::doctor::routes::{Filter, ReversePath};
use dante_os::procfs::{CAP_NET_BIND_SERVICE, CAP_SYS_TIME};
use scratch::Scratch;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;

#[path = "../../../../lib/os/src/scratch.rs"]
mod scratch;

/// Formats an address as the kernel does: as a number in host byte order.
fn hex(address: [u8; 4]) -> String {
    format!("{:08X}", u32::from_ne_bytes(address))
}

#[test]
fn groups_of_other_interfaces_are_left_out() {
    let tree = Scratch::new();
    let (all, dflt) = (hex([224, 0, 0, 1]), hex([224, 0, 1, 129]));
    let text = format!(
        "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n\
         1\tlo        :     1      V3\n\t\t\t\t{all}     1 0:00000000\t\t0\n\
         4\teth0      :     2      V2\n\t\t\t\t{dflt}     2 0:00000000\t\t1\n\t\t\t\t{all}     1 0:00000000\t\t0\n"
    );
    tree.write("net/igmp", &text);
    let eth0 = Memberships::in_tree(&tree.0, "eth0");
    assert_eq!(eth0.groups, [Ipv4Addr::new(224, 0, 1, 129), Ipv4Addr::new(224, 0, 0, 1)]);
    assert_eq!((eth0.version, eth0.forced), (Some(2), None));
    assert_eq!(Memberships::in_tree(&tree.0, "lo").groups, [Ipv4Addr::new(224, 0, 0, 1)]);
    assert_eq!(Memberships::in_tree(&tree.0, "eth1"), Memberships::default());

    tree.write("sys/net/ipv4/conf/all/force_igmp_version", "0\n");
    tree.write("sys/net/ipv4/conf/eth0/force_igmp_version", "1\n");
    assert_eq!(Memberships::in_tree(&tree.0, "eth0").forced, Some(1));
}

#[test]
fn stricter_of_both_rp_filter_settings_applies() {
    let tree = Scratch::new();
    let line = |interface: &str, network, mask, flags: u16, metric: u32| {
        format!(
            "{interface}\t{}\t00000000\t{flags:04X}\t0\t0\t{metric}\t{}\t0\t0\t0\n",
            hex(network),
            hex(mask)
        )
    };
    let text = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        .to_owned()
        + &line("eth0", [0, 0, 0, 0], [0, 0, 0, 0], 3, 0)
        + &line("eth1", [10, 7, 0, 0], [255, 255, 0, 0], 1, 0)
        + &line("eth2", [10, 7, 0, 0], [255, 255, 0, 0], 1, 100)
        + &line("eth1", [192, 0, 2, 0], [255, 255, 255, 0], 0x201, 0);
    tree.write("net/route", &text);
    tree.write("sys/net/ipv4/conf/all/rp_filter", "0\n");
    tree.write("sys/net/ipv4/conf/eth1/rp_filter", "1\n");
    tree.write("sys/net/ipv4/conf/eth0/rp_filter", "2\n");
    let (near, link_local) = (Ipv4Addr::new(10, 7, 3, 3), Ipv4Addr::new(169, 254, 1, 1));

    let eth1 = ReversePath::in_tree(&tree.0, "eth1");
    assert_eq!((eth1.filter, eth1.routes.len()), (Filter::Strict, 3), "a reject route does not count");
    assert!(!eth1.drops("eth1", near) && eth1.drops("eth1", link_local));
    assert!(eth1.drops("eth2", near), "the route with the lower metric is used");
    let eth0 = ReversePath::in_tree(&tree.0, "eth0");
    assert_eq!(eth0.filter, Filter::Loose);
    assert!(!eth0.drops("eth0", link_local), "the default route reaches it");
    assert_eq!(ReversePath::in_tree(&tree.0, "eth9").filter, Filter::Off);

    tree.write("net/route", line("Iface", [0; 4], [0; 4], 0, 0));
    assert!(ReversePath::in_tree(&tree.0, "eth0").drops("eth0", link_local), "no route at all");
}

#[test]
fn program_with_a_port_is_named_if_its_descriptors_are_readable() {
    let tree = Scratch::new();
    let line = |port: u16, uid: u32, inode: u64| {
        format!(
            "  12: 00000000:{port:04X} 00000000:0000 07 00000000:00000000 00:00000000 00000000  {uid}        0 {inode} 2 x 0\n"
        )
    };
    let head = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref\n";
    tree.write("net/udp", &(head.to_owned() + &line(319, 0, 77) + &line(320, 104, 78) + &line(123, 0, 79)));
    tree.write("412/comm", "ptp4l\n");
    tree.write("412/status", "State:\tS (sleeping)\nCapEff:\t0000000002000400\n");
    tree.write("412/fd/0", "");
    symlink("socket:[77]", tree.0.join("412/fd/5")).unwrap();
    symlink("socket:[77]", tree.0.join("412/fd/6")).unwrap();
    let ptp4l = Running { pid: 412, name: "ptp4l".into(), capabilities: Some(0x0200_0400) };
    assert!(ptp4l.may(CAP_SYS_TIME) && ptp4l.may(CAP_NET_BIND_SERVICE) && !ptp4l.may(12));
    assert_eq!(
        ports::in_tree(&tree.0, &[319, 320]),
        Some(vec![
            Holder { port: 319, uid: 0, process: Some(ptp4l) },
            Holder { port: 320, uid: 104, process: None }
        ])
    );
    assert_eq!(ports::in_tree(&tree.0, &[1]), Some(Vec::new()));
    let empty = tree.0.join("412");
    assert_eq!(
        ports::in_tree(&empty, &[319]),
        None,
        "/proc/net/udp cannot be read: not known, instead of free"
    );
}

#[test]
fn program_with_a_socket_is_found_by_its_path() {
    let tree = Scratch::new();
    tree.write(
        "net/unix",
        "Num       RefCount Protocol Flags    Type St Inode Path\n\
         0000000000000000: 00000002 00000000 00000000 0002 01 76 /run/clock\n\
         0000000000000000: 00000002 00000000 00000000 0002 01 77 /run/my clock\n\
         0000000000000000: 00000002 00000000 00000000 0002 01 78\n",
    );
    tree.write("412/comm", "inferno\n");
    tree.write("412/status", "State:\tS (sleeping)\n");
    tree.write("412/fd/0", "");
    symlink("socket:[77]", tree.0.join("412/fd/5")).unwrap();
    // A program in its own network namespace.
    tree.write("500/comm", "danteshm\n");
    tree.write("500/status", "State:\tS (sleeping)\n");
    tree.write("500/ns/other", "");
    symlink("net:[4026532000]", tree.0.join("500/ns/net")).unwrap();
    tree.write(
        "500/net/unix",
        "0000000000000000: 00000002 00000000 00000000 0002 01 90 /tmp/ptp-usrvclock\n",
    );
    tree.write("500/fd/0", "");
    symlink("socket:[90]", tree.0.join("500/fd/5")).unwrap();
    let danteshm = Running { pid: 500, name: "danteshm".into(), capabilities: None };
    assert_eq!(ports::holder_in_tree(&tree.0, "/tmp/ptp-usrvclock"), Some(danteshm));
    let inferno = Running { pid: 412, name: "inferno".into(), capabilities: None };
    assert_eq!(ports::holder_in_tree(&tree.0, "/run/my clock"), Some(inferno));
    assert_eq!(ports::holder_in_tree(&tree.0, "/run/clock"), None, "of another user");
    assert_eq!(ports::holder_in_tree(&tree.0, "clock"), None);
}

#[test]
fn reference_clocks_of_included_files_are_found() {
    let tree = Scratch::new();
    assert_eq!(Chrony::in_tree(&tree.0), Chrony::default());
    tree.write(
        "etc/chrony/chrony.conf",
        "pool pool.ntp.org\n# refclock SHM 9\nconfdir /etc/chrony/conf.d\ninclude /etc/chrony/more*.conf\nrefclock PPS /dev/pps0\n",
    );
    tree.write("etc/chrony/conf.d/dante.conf", "RefClock SHM 2:perm=0660 refid DNTE poll 2\n");
    tree.write("etc/chrony/conf.d/dante.conf.off", "refclock SHM 7\n");
    tree.write(
        "etc/chrony/more-sock.conf",
        "refclock SOCK /run/chrony.dante.sock refid DNTE\ninclude /etc/chrony/more-sock.conf\n",
    );
    let found = Chrony::in_tree(&tree.0);
    assert_eq!(found.file, Some(tree.0.join("etc/chrony/chrony.conf")));
    let (shm, others): (Vec<_>, Vec<_>) =
        found.refclocks.into_iter().partition(|refclock| matches!(refclock, Refclock::Shm(_)));
    assert_eq!(shm, [Refclock::Shm(2)], "of the file in the confdir");
    // The included file includes itself, so its line is read repeatedly.
    let sock = Refclock::Sock("/run/chrony.dante.sock".into());
    assert!(
        !others.is_empty() && others.iter().all(|refclock| *refclock == sock),
        "of the included file: {others:?}"
    );
}
