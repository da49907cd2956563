//! Which findings explain others, so that the report begins with the cause.

use super::Check;
use crate::finding::{Kind, Level};
use dante_core::relay::OutputKind;

/// Returns the finding to start with: the cause of the first failure, as that is nearest to the cable; without a failure that of the
/// first warning.
pub fn first(checks: &[Check], is_covered: bool) -> Option<&Check> {
    let of = |level| checks.iter().find(move |check| check.finding.level == level);
    let mut first = of(Level::Failure).or_else(|| of(Level::Warning))?;
    // Each step leads to a cause, so more steps than checks would be a circle.
    for _ in checks {
        let Some(cause) = cause(checks, first, is_covered) else { break };
        first = cause;
    }
    Some(first)
}

/// Returns what explains this finding: the first failure that does, else the first warning.
pub fn cause<'c>(checks: &'c [Check], effect: &Check, is_covered: bool) -> Option<&'c Check> {
    let causes = || checks.iter().filter(|check| explains(check, effect, is_covered));
    causes().find(|check| check.finding.level == Level::Failure).or_else(|| causes().next())
}

/// Whether `cause` explains `effect`. `is_covered`: the checks of interface and network covered all interfaces of dante4l.
fn explains(cause: &Check, effect: &Check, is_covered: bool) -> bool {
    let (of, by) = (&effect.finding, &cause.finding);
    if of.level == Level::Ok || by.level == Level::Ok {
        return false;
    }
    let fails = by.level == Level::Failure;
    // Checks without a kind of their own: of a program, that it lacks a capability.
    let lacks_right = fails && by.kind == Kind::Check && cause.about == effect.about;
    let is_own_page = by.kind == Kind::ForeignPage && cause.about == effect.about;
    match (effect.about, of.kind, cause.about) {
        // A socket that another program has.
        ("network", _, "ports") => fails,
        ("dante4l", Kind::NotRunning, about) => {
            fails && ["interface", "ports"].contains(&about) || is_own_page
        }
        ("dante4l", Kind::NoLeader | Kind::Diagnostic, "interface" | "network" | "ports") => is_covered,
        ("dante4l", Kind::InterfaceUnusable, "interface" | "ports") => is_covered && fails,
        ("dante4l", Kind::InterfaceUnusable, "dante4l") => lacks_right,
        ("dante2sys", Kind::NotRunning | Kind::CompetingProgram | Kind::NoFollower, "clock") => fails,
        ("dante2sys", Kind::NotRunning | Kind::NoFollower, "dante2sys") => is_own_page,
        ("dante2sys", Kind::ClockRefused, "dante2sys") => lacks_right,
        ("danteshm", Kind::NotRunning, "danteshm") => is_own_page,
        (
            "dante2sys" | "danteshm",
            Kind::WaitingForLeader | Kind::Holdover,
            "interface" | "network" | "ports" | "dante4l",
        ) => fails,
        ("danteshm", Kind::WaitingForUtc, "clock") => true,
        // chronyd does not run, or its configuration does not name the output.
        ("danteshm", Kind::OutputNotReady, "clock" | "chrony") => of.output != Some(OutputKind::Usrvclock),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Finding;

    fn check(about: &'static str, kind: Kind, level: Level) -> Check {
        let mut finding = Finding::ok(about).kind(kind);
        finding.level = level;
        Check { about, finding }
    }

    /// Pairs in both orders, and which one the report begins with.
    #[test]
    fn report_begins_with_the_cause() {
        use Kind::{
            Check as Plain, ClockRefused, CompetingProgram, Diagnostic, ForeignPage, Holdover,
            InterfaceUnusable, NoFollower, NoLeader, NotRunning, OutputNotReady, StalePage, WaitingForLeader,
            WaitingForUtc,
        };
        use Level::{Failure, Warning};
        let pairs = [
            (("interface", Plain, Failure), ("network", Plain, Failure)),
            (("interface", Plain, Failure), ("dante4l", InterfaceUnusable, Failure)),
            (("interface", Plain, Failure), ("dante4l", NotRunning, Failure)),
            (("network", Plain, Failure), ("dante4l", NoLeader, Failure)),
            (("network", Plain, Warning), ("dante4l", NoLeader, Failure)),
            (("ports", Plain, Failure), ("network", Plain, Failure)),
            (("ports", Plain, Failure), ("network", Plain, Warning)),
            (("ports", Plain, Failure), ("dante4l", NotRunning, Failure)),
            (("ports", Plain, Failure), ("dante4l", InterfaceUnusable, Failure)),
            (("ports", Plain, Warning), ("dante4l", Diagnostic, Warning)),
            (("dante4l", ForeignPage, Failure), ("dante4l", NotRunning, Failure)),
            (("dante4l", Plain, Failure), ("dante4l", InterfaceUnusable, Failure)),
            (("dante4l", NotRunning, Failure), ("dante2sys", WaitingForLeader, Warning)),
            (("dante4l", StalePage, Failure), ("dante2sys", Holdover, Warning)),
            (("dante4l", StalePage, Failure), ("danteshm", WaitingForLeader, Warning)),
            (("clock", Plain, Failure), ("dante2sys", NotRunning, Failure)),
            (("clock", Plain, Failure), ("dante2sys", CompetingProgram, Failure)),
            (("clock", Plain, Failure), ("dante2sys", NoFollower, Warning)),
            (("dante2sys", ForeignPage, Failure), ("dante2sys", NoFollower, Warning)),
            (("dante2sys", Plain, Failure), ("dante2sys", ClockRefused, Failure)),
            (("clock", Plain, Warning), ("danteshm", OutputNotReady, Failure)),
            (("chrony", Plain, Warning), ("danteshm", OutputNotReady, Failure)),
            (("clock", Plain, Warning), ("danteshm", WaitingForUtc, Warning)),
            // A firewall or a silent leader does not end a program.
            (("dante4l", NotRunning, Failure), ("network", Plain, Warning)),
            (("dante4l", NotRunning, Failure), ("clock", Plain, Warning)),
        ];
        for (cause, effect) in pairs {
            let [cause, effect] = [cause, effect].map(|(about, kind, level)| check(about, kind, level));
            for reversed in [false, true] {
                let mut both = vec![cause.clone(), effect.clone()];
                // Checks of one subject are reported in the order in which they occur, others from the cable to the clock.
                if reversed && !explains(&cause, &effect, true) {
                    continue;
                }
                if reversed {
                    both.reverse();
                }
                let first = first(&both, true).expect("a problem");
                let expected = (cause.about, cause.finding.kind);
                let is_same = cause.about == effect.about && cause.finding.kind == effect.finding.kind;
                assert!(
                    is_same || (first.about, first.finding.kind) == expected,
                    "{cause:?} {effect:?}: {first:?}"
                );
            }
        }
    }

    #[test]
    fn chrony_does_not_explain_a_usrvclock() {
        let chrony = check("clock", Kind::Check, Level::Warning);
        let mut output = check("danteshm", Kind::OutputNotReady, Level::Failure);
        output.finding.output = Some(OutputKind::Usrvclock);
        assert!(!explains(&chrony, &output, true));
    }

    #[test]
    fn finding_does_not_explain_itself() {
        for kind in Kind::ALL {
            for about in
                ["interface", "network", "ports", "dante4l", "clock", "dante2sys", "danteshm", "chrony"]
            {
                let one = check(about, kind, Level::Failure);
                assert!(!explains(&one, &one, true), "{about} {kind}");
            }
        }
    }
}
