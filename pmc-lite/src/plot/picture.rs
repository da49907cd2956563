//! Draws a [`Figure`], as SVG or PNG.

use super::figure::{Figure, Panel};
use crate::output;
use crate::scale::{Histogram, Scale, decimals, round_up, signed};
use anyhow::{Result, anyhow, bail};
use plotters::chart::MeshStyle;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};
use std::ops::Range;
use std::path::Path;

/// File format of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Svg,
    Png,
}

impl Format {
    /// Returns the format for the extension of the file name.
    pub fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|end| end.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            _ => bail!("{}: the file name must end in .svg or .png", path.display()),
        }
    }
}

const WIDTH: u32 = 1200;
const HEADER: u32 = 84;
const PANEL: u32 = 216;
/// Extra height of the lowest panel, for the time axis.
const AXIS: u32 = 40;
const HISTOGRAM: u32 = 260;
/// Left and right margin.
const MARGIN: u32 = 28;
/// Width of the numbers at the left, equal for all panels, so that their axes are aligned.
const NUMBERS: u32 = 84;

/// PNG: pixels per unit of the lengths above.
const DOTS: f64 = 1.5;
/// PNG: drawn dots per pixel and direction, for antialiasing.
const SMOOTH: u32 = 2;

const INK: RGBColor = RGBColor(0x22, 0x30, 0x3c);
const QUIET: RGBColor = RGBColor(0x6b, 0x77, 0x85);
const GRID: RGBColor = RGBColor(0xe4, 0xe9, 0xed);
const CURVE: RGBColor = RGBColor(0x1b, 0x6c, 0x8c);
const BAND: RGBColor = RGBColor(0xcf, 0xe3, 0xea);
const REJECTED: RGBColor = RGBColor(0xc4, 0x50, 0x3a);

/// Returns the content of the file.
pub fn draw(figure: &Figure, format: Format) -> Result<Vec<u8>> {
    // Built-in fonts: the picture is the same on every host.
    for (style, font) in
        [(FontStyle::Normal, dejavu::sans::regular()), (FontStyle::Bold, dejavu::sans::bold())]
    {
        register_font(FontFamily::SansSerif.as_str(), style, font)
            .map_err(|_| anyhow!("cannot load the built-in font"))?;
    }
    match format {
        Format::Svg => {
            let mut text = String::new();
            paint(figure, &SVGBackend::with_string(&mut text, size(figure, 1.0)).into_drawing_area(), 1.0)?;
            Ok(output::lines(&text).into_owned().into_bytes())
        }
        Format::Png => {
            let factor = DOTS * f64::from(SMOOTH);
            let (width, height) = size(figure, factor);
            let mut dots = vec![0; width as usize * height as usize * 3];
            paint(
                figure,
                &BitMapBackend::with_buffer(&mut dots, (width, height)).into_drawing_area(),
                factor,
            )?;
            encode(&halved(&dots, width as usize), width / SMOOTH, height / SMOOTH)
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few thousand")]
fn size(figure: &Figure, factor: f64) -> (u32, u32) {
    let panels = u32::try_from(figure.panels.len()).unwrap_or(0);
    let height = HEADER + panels * PANEL + AXIS + HISTOGRAM;
    // Even: `halved` divides it by two.
    let of = |length: u32| (f64::from(length) * factor / 2.0).round() as u32 * 2;
    (of(WIDTH), of(height))
}

/// Halves width and height: each pixel is the mean of two by two dots.
fn halved(dots: &[u8], width: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(dots.len() / 4);
    for rows in dots.chunks_exact(width * 3 * 2) {
        let (upper, lower) = rows.split_at(width * 3);
        for (above, below) in upper.chunks_exact(6).zip(lower.chunks_exact(6)) {
            for colour in 0..3 {
                let of = |row: &[u8], place: usize| u16::from(row.get(place).copied().unwrap_or(0));
                let sum =
                    of(above, colour) + of(above, colour + 3) + of(below, colour) + of(below, colour + 3);
                out.push(u8::try_from((sum + 2) / 4).unwrap_or(u8::MAX));
            }
        }
    }
    out
}

fn encode(dots: &[u8], width: u32, height: u32) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(dots)?;
    writer.finish()?;
    Ok(bytes)
}

type Chart<'a, B> = ChartContext<'a, B, Cartesian2d<Marked, Marked>>;
type Mesh<'a, 'b, B> = MeshStyle<'a, 'b, Marked, Marked, B>;

/// An area of the picture, and the dots per unit of length.
struct Paper<'a, B: DrawingBackend> {
    area: &'a DrawingArea<B, Shift>,
    factor: f64,
}

fn paint<B: DrawingBackend>(figure: &Figure, root: &DrawingArea<B, Shift>, factor: f64) -> Result<()> {
    drawn(root.fill(&WHITE))?;
    let unit = |length: u32| f64::from(length) * factor;
    let (header, mut rest) = root.split_vertically(unit(HEADER));
    let paper = Paper { area: &header, factor };
    paper.write(&figure.title, (MARGIN, 20), 21, FontStyle::Bold, INK, HPos::Left)?;
    paper.write(&figure.below, (MARGIN, 52), 14, FontStyle::Normal, QUIET, HPos::Left)?;
    let last = figure.panels.len().saturating_sub(1);
    for (place, panel) in figure.panels.iter().enumerate() {
        let axis = if place == last { AXIS } else { 0 };
        let (area, below) = rest.split_vertically(unit(PANEL + axis));
        Paper { area: &area, factor }.panel(panel, figure, axis)?;
        rest = below;
    }
    Paper { area: &rest, factor }.histogram(figure.histogram.as_ref())?;
    drawn(root.present())
}

impl<B: DrawingBackend> Paper<'_, B> {
    #[expect(clippy::cast_possible_truncation, reason = "a few thousand")]
    fn dots(&self, length: u32) -> i32 {
        (f64::from(length) * self.factor).round() as i32
    }

    fn line(&self, colour: RGBColor, width: f64) -> ShapeStyle {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few dots")]
        let width = (width * self.factor).round().max(1.0) as u32;
        colour.stroke_width(width)
    }

    fn font(&self, size: u32, style: FontStyle, colour: RGBColor) -> TextStyle<'static> {
        FontDesc::new(FontFamily::SansSerif, f64::from(size) * self.factor, style).color(&colour)
    }

    fn write(
        &self,
        text: &str,
        (x, y): (u32, u32),
        size: u32,
        style: FontStyle,
        colour: RGBColor,
        side: HPos,
    ) -> Result<()> {
        let style = self.font(size, style, colour).pos(Pos::new(side, VPos::Top));
        drawn(self.area.draw(&Text::new(text.to_owned(), (self.dots(x), self.dots(y)), style)))
    }

    /// Writes title and statistics above a panel.
    fn heading(&self, title: &str, summary: &str) -> Result<()> {
        self.write(title, (MARGIN + NUMBERS, 4), 15, FontStyle::Bold, INK, HPos::Left)?;
        self.write(summary, (WIDTH - MARGIN, 5), 14, FontStyle::Normal, QUIET, HPos::Right)
    }

    /// Makes the axes below a heading; `axis` is the height of the labels of the lower one.
    fn chart(&self, across: Marked, up: Marked, bottom: u32, axis: u32) -> Result<Chart<'_, B>> {
        drawn(
            ChartBuilder::on(self.area)
                .margin_left(self.dots(MARGIN))
                .margin_right(self.dots(MARGIN))
                .margin_top(self.dots(30))
                .margin_bottom(self.dots(bottom))
                .set_label_area_size(LabelAreaPosition::Left, self.dots(NUMBERS))
                .set_label_area_size(LabelAreaPosition::Bottom, self.dots(axis))
                .build_cartesian_2d(across, up),
        )
    }

    /// Sets the style of the grid and of the labels.
    fn plain<'m, 'a, 'b>(&self, mesh: &'m mut Mesh<'a, 'b, B>) -> &'m mut Mesh<'a, 'b, B> {
        let text = self.font(13, FontStyle::Normal, QUIET);
        mesh.light_line_style(TRANSPARENT)
            .bold_line_style(self.line(GRID, 1.0))
            .axis_style(self.line(GRID, 1.0))
            .set_all_tick_mark_size(self.dots(3))
            .label_style(text.clone())
            .axis_desc_style(text)
    }

    fn panel(&self, panel: &Panel, figure: &Figure, axis: u32) -> Result<()> {
        self.heading(&panel.title, &panel.summary)?;
        let (scale, time) = (panel.scale, &figure.time);
        let mut chart = self.chart(Marked::of(&time.scale), Marked::of(&scale), 14, axis)?;
        let number = |value: &f64| scale.text(*value);
        let moment = |value: &f64| format!("{value:.0$}", decimals(time.scale.step));
        let mut mesh = chart.configure_mesh();
        self.plain(&mut mesh).y_desc(panel.unit).y_label_formatter(&number);
        if axis > 0 {
            mesh.x_desc(&time.label).x_label_formatter(&moment);
        }
        drawn(mesh.draw())?;
        if panel.about_zero {
            let zero = [(time.scale.low, 0.0), (time.scale.high, 0.0)];
            drawn(chart.draw_series(LineSeries::new(zero, self.line(QUIET, 1.0))))?;
        }
        for (lower, upper) in &panel.band {
            let edge: Vec<(f64, f64)> = lower.iter().chain(upper.iter().rev()).copied().collect();
            drawn(chart.draw_series([Polygon::new(edge, BAND.filled())]))?;
        }
        for line in &panel.lines {
            drawn(chart.draw_series(LineSeries::new(line.iter().copied(), self.line(CURVE, 1.5))))?;
        }
        let radius = self.dots(2);
        for (dots, colour) in [(&panel.dots, CURVE), (&panel.rejected, REJECTED)] {
            drawn(chart.draw_series(dots.iter().map(|dot| Circle::new(*dot, radius, colour.filled()))))?;
        }
        Ok(())
    }

    fn histogram(&self, histogram: Option<&Histogram>) -> Result<()> {
        let Some(histogram) = histogram else {
            return self.heading("rate, samples by ppm", "no samples: dante4l was not SLAVE");
        };
        let summary = format!(
            "mean {} ppm, standard deviation {:.4} ppm",
            signed(histogram.mean, 4),
            histogram.deviation
        );
        self.heading("rate, samples by ppm", &summary)?;
        let most = histogram.counts.iter().copied().max().unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "counts of samples")]
        let most = most as f64;
        let step = round_up(most / 4.0).max(1.0);
        let up = Scale { low: 0.0, high: (most / step).ceil().max(1.0) * step, step };
        let bins = histogram.counts.len();
        let ticks = histogram.ticks(10);
        let across = Marked { from: histogram.low, to: histogram.edge(bins), marks: ticks };
        let mut chart = self.chart(across, Marked::of(&up), 20, AXIS)?;
        drawn(
            self.plain(&mut chart.configure_mesh())
                .disable_x_mesh()
                .y_desc("samples")
                .x_desc("ppm, leader against this host's oscillator")
                .x_label_formatter(&|value| signed(*value, decimals(10.0 * histogram.width)))
                .y_label_formatter(&|value| format!("{value:.0}"))
                .draw(),
        )?;
        let gap = histogram.width * 0.08;
        #[expect(clippy::cast_precision_loss, reason = "counts of samples")]
        let bars =
            histogram.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(bin, count)| {
                let (left, right) = (histogram.edge(bin) + gap, histogram.edge(bin + 1) - gap);
                Rectangle::new([(left, 0.0), (right, *count as f64)], CURVE.filled())
            });
        drawn(chart.draw_series(bars))?;
        Ok(())
    }
}

/// An axis with numbers at given values.
struct Marked {
    from: f64,
    to: f64,
    marks: Vec<f64>,
}

impl Marked {
    fn of(scale: &Scale) -> Self {
        Self { from: scale.low, to: scale.high, marks: scale.ticks() }
    }
}

impl Ranged for Marked {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    #[expect(clippy::cast_possible_truncation, reason = "clamped to more than the size of a picture")]
    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        let part = (value - self.from) / (self.to - self.from);
        (f64::from(first) + part * f64::from(last - first)).round().clamp(-1e6, 1e6) as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.marks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

/// Converts the errors of plotters.
fn drawn<T, E: std::error::Error + Send + Sync>(done: Result<T, DrawingAreaErrorKind<E>>) -> Result<T> {
    done.map_err(|error| anyhow!("cannot draw: {error}"))
}
