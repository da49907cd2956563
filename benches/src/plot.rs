//! Plots as SVG. The font is part of the program, so none has to be installed.

use anyhow::{Result, anyhow};
use dante_bench::bound::Optimal;
use dante_bench::experiment::clock::{Outcome, Steady};
use dante_bench::experiment::noise_of;
use dante_bench::trace::LinkProfile;
use dante_sim::oscillator::Model;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};
use std::ops::Range;
use std::path::Path;

const SIZE: (u32, u32) = (900, 500);
const COLOURS: [RGBColor; 5] = [
    RGBColor(0, 90, 180),
    RGBColor(200, 60, 20),
    RGBColor(150, 100, 170),
    RGBColor(40, 140, 60),
    RGBColor(110, 110, 110),
];

/// A line of a plot.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// A plot with logarithmic axes.
struct Plot {
    title: String,
    x: (&'static str, Range<f64>),
    y: (&'static str, Range<f64>),
    lines: Vec<Line>,
}

/// Draws the error of the rate against time.
pub fn course(folder: &Path, network: &LinkProfile, outcomes: &[Outcome]) -> Result<()> {
    let of = |outcome: &Outcome| Line {
        name: outcome.name.to_owned(),
        points: (0..).map(f64::from).zip(outcome.course_ppb.iter().copied()).skip(1).collect(),
    };
    let mut lines: Vec<Line> = outcomes.iter().map(of).collect();
    let bound = Optimal::new(&noise_of(network, &Model::PC)).riccati().rate_ppb;
    let end = outcomes.first().map_or(1.0, |outcome| outcome.course_ppb.len() as f64);
    lines.push(Line { name: "optimal linear filter".to_owned(), points: vec![(1.0, bound), (end, bound)] });
    let plot = Plot {
        title: format!("{}: error of the rate over 1 s, rms over seeds", network.name),
        x: ("s after the first Sync", 1.0..end),
        y: ("ppb", 1.0..100_000.0),
        lines,
    };
    plot.save(folder, &format!("rate-{}", network.name))
}

/// Draws the frontier of an optimal controller on each network, and our figures.
pub fn frontier(folder: &Path, found: &[(&'static str, Steady)]) -> Result<()> {
    let mut lines = Vec::new();
    for (name, steady) in found {
        let points = steady.frontier.iter().map(|point| (point.phase_ns, point.rate_ppb));
        lines.push(Line { name: format!("{name}: frontier"), points: points.collect() });
        let (phase, rate) = (steady.clock.phase_ns, steady.clock.rate_ppb);
        let cross = vec![
            (phase * 0.9, rate),
            (phase * 1.1, rate),
            (phase, rate),
            (phase, rate * 0.9),
            (phase, rate * 1.1),
        ];
        lines.push(Line { name: format!("{name}: the steered clock"), points: cross });
    }
    let plot = Plot {
        title: "phase against rate in the steady state".to_owned(),
        x: ("phase, rms, ns", 10.0..10_000.0),
        y: ("rate over 1 s, rms, ppb", 1.0..100.0),
        lines,
    };
    plot.save(folder, "frontier")
}

impl Plot {
    fn save(&self, folder: &Path, name: &str) -> Result<()> {
        register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular())
            .map_err(|_| anyhow!("cannot read the built-in font"))?;
        let path = folder.join(format!("{name}.svg"));
        let area = SVGBackend::new(&path, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(&self.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(self.x.1.clone().log_scale(), self.y.1.clone().log_scale())?;
        chart
            .configure_mesh()
            .x_desc(self.x.0)
            .y_desc(self.y.0)
            .light_line_style(RGBColor(235, 235, 235))
            .draw()?;
        for (line, colour) in self.lines.iter().zip(COLOURS.into_iter().cycle()) {
            chart
                .draw_series(LineSeries::new(line.points.iter().copied(), colour.stroke_width(2)))?
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE)
            .border_style(RGBColor(180, 180, 180))
            .draw()?;
        area.present()?;
        Ok(())
    }
}
