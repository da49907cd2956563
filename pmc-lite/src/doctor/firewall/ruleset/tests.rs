//! Evaluation of typical rules, as nft 1.0.6 prints them.

use super::*;

const PACKET: Arriving<'_> = Arriving {
    interface: "eth1",
    source: Ipv4Addr::new(169, 254, 61, 114),
    group: Ipv4Addr::new(224, 0, 1, 129),
    port: 319,
};

/// Table `inet filter` with a chain `input` of this policy and these rules, a chain `own`, and a set of trusted interfaces.
fn ruleset(policy: &str, input: &[&str], own: &[&str]) -> String {
    let rules = |chain: &str, rules: &[&str]| -> String {
        let one = |expr| {
            format!(
                r#",{{"rule":{{"family":"inet","table":"filter","chain":"{chain}","handle":4,"expr":[{expr}]}}}}"#
            )
        };
        rules.iter().map(one).collect()
    };
    format!(
        r#"{{"nftables":[{{"metainfo":{{"version":"1.0.6"}}}},{{"table":{{"family":"inet","name":"filter","handle":1}}}},
        {{"set":{{"family":"inet","table":"filter","name":"trusted","type":"ifname","elem":["lo","eth1"]}}}},
        {{"chain":{{"family":"inet","table":"filter","name":"input","type":"filter","hook":"input","prio":0,"policy":"{policy}"}}}},
        {{"chain":{{"family":"inet","table":"filter","name":"own"}}}}{}{}]}}"#,
        rules("input", input),
        rules("own", own)
    )
}

fn place(chain: &str, by_policy: bool) -> Place {
    Place { family: "inet".into(), table: "filter".into(), chain: chain.into(), by_policy }
}

const ESTABLISHED: &str = r#"{"match":{"op":"in","left":{"ct":{"key":"state"}},"right":["established","related"]}},{"accept":null}"#;
const PORTS: &str = r#"{"match":{"op":"==","left":{"payload":{"protocol":"udp","field":"dport"}},"right":{"set":[319,320]}}}"#;
const RANGE: &str = r#"{"match":{"op":"==","left":{"payload":{"protocol":"th","field":"dport"}},"right":{"range":[300,330]}}}"#;
const OTHER: &str =
    r#"{"match":{"op":"!=","left":{"payload":{"protocol":"udp","field":"dport"}},"right":123}}"#;
const SSH: &str = r#"{"match":{"op":"==","left":{"payload":{"protocol":"tcp","field":"dport"}},"right":22}},{"accept":null}"#;
const LINK_LOCAL: &str = r#"{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"saddr"}},"right":{"prefix":{"addr":"169.254.0.0","len":16}}}}"#;
const TRUSTED: &str = r#"{"match":{"op":"==","left":{"meta":{"key":"iifname"}},"right":"@trusted"}}"#;
const MARKED: &str = r#"{"match":{"op":"==","left":{"meta":{"key":"mark"}},"right":7}}"#;
const STATES: &str = r#"{"vmap":{"key":{"ct":{"key":"state"}},"data":{"set":[["invalid",{"drop":null}],["established",{"accept":null}],["new",{"jump":{"target":"own"}}]]}}}"#;

fn with(condition: &str, action: &str) -> String {
    format!(r#"{condition},{{"counter":{{"packets":0,"bytes":0}}}},{{"{action}":null}}"#)
}

#[test]
fn verdict_is_that_of_the_kernel() {
    let jump = r#"{"jump":{"target":"own"}}"#;
    let goto = r#"{"goto":{"target":"own"}}"#;
    let [drops, rejects, accepts] = ["drop", "reject", "accept"].map(|action| with(PORTS, action));
    let by_rule = |chain| RuleVerdict::Dropped(place(chain, false));
    let by_policy = RuleVerdict::Dropped(place("input", true));
    let cases: [(&str, &[&str], &[&str], RuleVerdict); 20] = [
        ("accept", &[], &[], RuleVerdict::Passes),
        ("drop", &[], &[], by_policy.clone()),
        ("drop", &[ESTABLISHED, SSH], &[], by_policy.clone()),
        ("drop", &[ESTABLISHED, &accepts], &[], RuleVerdict::Passes),
        ("accept", &[&drops], &[], by_rule("input")),
        ("accept", &[&rejects], &[], by_rule("input")),
        ("accept", &[&accepts, &drops], &[], RuleVerdict::Passes),
        ("accept", &[&with(RANGE, "drop")], &[], by_rule("input")),
        ("accept", &[&with(OTHER, "drop")], &[], by_rule("input")),
        ("drop", &[&with(LINK_LOCAL, "accept")], &[], RuleVerdict::Passes),
        ("drop", &[&with(TRUSTED, "accept")], &[], RuleVerdict::Passes),
        ("accept", &[jump], &[&drops], by_rule("own")),
        ("drop", &[jump], &[&with(PORTS, "return"), &accepts], by_policy.clone()),
        ("drop", &[jump, &accepts], &[], RuleVerdict::Passes),
        ("drop", &[goto, &accepts], &[], by_policy),
        ("drop", &[STATES], &[&accepts], RuleVerdict::Passes),
        ("accept", &[STATES], &[&drops], by_rule("own")),
        // The deciding condition is not known here.
        ("drop", &[&with(MARKED, "accept")], &[], RuleVerdict::Unclear(place("input", false))),
        ("accept", &[&with(MARKED, "drop")], &[], RuleVerdict::Unclear(place("input", false))),
        ("drop", &[&with(MARKED, "drop"), &accepts], &[], RuleVerdict::Unclear(place("input", false))),
    ];
    for (policy, input, own, expected) in cases {
        let rules = ruleset(policy, input, own);
        assert_eq!(judge(&rules, &PACKET), Some(expected), "policy {policy}, {input:#?}, own {own:#?}");
    }
}

#[test]
fn chains_that_the_packet_does_not_pass_are_ignored() {
    let rules = ruleset("drop", &[], &[]);
    for (from, to) in [
        (r#""hook":"input""#, r#""hook":"output""#),
        (
            r#""family":"inet","table":"filter","name":"input""#,
            r#""family":"ip6","table":"filter","name":"input""#,
        ),
        (r#""type":"filter","hook""#, r#""type":"nat","hook""#),
    ] {
        assert!(rules.contains(from));
        assert_eq!(judge(&rules.replace(from, to), &PACKET), Some(RuleVerdict::Passes), "{to}");
    }
}

#[test]
fn text_that_is_no_ruleset_gives_no_verdict() {
    for text in ["", "{}", "Error: syntax error", r#"{"nftables":7}"#] {
        assert_eq!(judge(text, &PACKET), None, "{text}");
    }
}
