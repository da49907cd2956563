//! What the metrics are: of programs that run alone, since what a dead one said last is no longer true.

mod clock;
mod network;
mod outputs;

use super::sheet::{NUMBER, Sheet};
use crate::finding::{self, Level};
use crate::pages::{Pages, freshness, said};
use crate::verdict::{self, Verdict};
use dante_core::page::{Body, Dante2sys, Dante4l, Danteshm, Freshness};
use dante_core::time::{Duration, Offset};

/// All of them.
pub fn of(pages: &Pages) -> Sheet {
    let mut sheet = Sheet::default();
    programs(&mut sheet, pages);
    if let Some(body) = said(&pages.dante4l) {
        network::tell(&mut sheet, body, pages.now);
    }
    if let Some(body) = said(&pages.dante2sys) {
        clock::tell(&mut sheet, body);
        clock::tell_date(&mut sheet, body, pages.now);
    }
    if let Some(body) = said(&pages.danteshm) {
        outputs::tell(&mut sheet, body, pages.now);
    }
    sheet
}

fn programs(sheet: &mut Sheet, pages: &Pages) {
    let all = [
        (Dante4l::NAME, freshness(&pages.dante4l)),
        (Dante2sys::NAME, freshness(&pages.dante2sys)),
        (Danteshm::NAME, freshness(&pages.danteshm)),
    ];
    let program = |name: &str| ("program", name.to_owned());
    sheet.gauge(
        "dante_up",
        NUMBER,
        "1 while the program runs; 0: it does not, or its page is not to be believed",
        all.map(|(name, page)| (vec![program(name)], f64::from(page == Freshness::Fresh))),
    );
    sheet.info(
        "dante_page_info",
        "How the program's page looks: fresh, stale (its writer died or hangs), stopped, absent, foreign, layout (another version)",
        all.map(|(name, page)| vec![program(name), ("page", page.name().to_owned())]),
    );
    sheet.states(
        "dante_verdict",
        "1 for how this host's clock stands to Dante's, as `pmc-lite get status` says it",
        &Verdict::ALL,
        [(Vec::new(), Some(verdict::of(pages).verdict))],
    );
    let found = finding::of(pages);
    sheet.gauge(
        "dante_findings",
        NUMBER,
        "How many things are not as they should be; `pmc-lite get status` tells them in words",
        [(Level::Warning, "warning"), (Level::Failure, "failure")].map(|(level, name)| {
            let count = found.iter().filter(|one| one.level == level).count();
            (vec![("level", name.to_owned())], count as f64)
        }),
    );
}

fn secs(duration: Duration) -> f64 {
    duration.secs_f64()
}

fn offset_secs(offset: Offset) -> f64 {
    Duration::from_ns(offset.ns()).secs_f64()
}
