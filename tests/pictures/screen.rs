//! Converts a terminal's screen (text with ANSI colours, from `tmux capture-pane -e`) to SVG. Lines, blocks and dots are drawn as
//! shapes, so that the picture does not depend on the font.

use std::fmt::Write;

/// Size of a character cell, px.
const WIDTH: f64 = 8.4;
const HEIGHT: f64 = 18.0;
const MARGIN: f64 = 14.0;
const PAPER: &str = "#11181f";
const INK: &str = "#d5dde4";
/// The eight ANSI colours, and their bright variants.
const COLOURS: [&str; 16] = [
    "#11181f", "#e06c5a", "#7fc784", "#e3c069", "#5b9fd6", "#c58bd1", "#5cc3d0", "#d5dde4", "#6e7b87",
    "#e06c5a", "#7fc784", "#e3c069", "#5b9fd6", "#c58bd1", "#5cc3d0", "#ffffff",
];

#[derive(Clone, Copy, PartialEq, Default)]
struct Style {
    colour: Option<usize>,
    bold: bool,
    reversed: bool,
}

/// Returns the picture of a screen of this size.
pub fn svg(screen: &str, (columns, rows): (u16, u16)) -> String {
    let (width, height) =
        (f64::from(columns) * WIDTH + 2.0 * MARGIN, f64::from(rows) * HEIGHT + 2.0 * MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{PAPER}\"/>\n\
         <g font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"14\">\n"
    );
    let mut style = Style::default();
    for (line, y) in screen.lines().zip((0..).map(|row| MARGIN + f64::from(row) * HEIGHT)) {
        let mut x = MARGIN;
        let mut run = (x, style, String::new());
        let mut rest = line.chars();
        while let Some(letter) = rest.next() {
            if letter == '\u{1b}' {
                let code: String = rest.by_ref().take_while(|each| *each != 'm').collect();
                style = changed(style, code.trim_start_matches('['));
                continue;
            }
            if style != run.1 || is_drawn(letter) {
                text(&mut out, &run, y);
                run = (x, style, String::new());
            }
            if is_drawn(letter) {
                shape(&mut out, letter, (x, y), ink(style));
                run.0 = x + WIDTH;
            } else {
                run.2.push(letter);
            }
            x += WIDTH;
        }
        text(&mut out, &run, y);
    }
    out.push_str("</g>\n</svg>\n");
    out
}

/// Applies one escape sequence (SGR).
fn changed(mut style: Style, code: &str) -> Style {
    let numbers: Vec<usize> = code.split([';', ':']).map(|each| each.parse().unwrap_or(0)).collect();
    let mut numbers = numbers.into_iter();
    while let Some(number) = numbers.next() {
        match number {
            0 => style = Style::default(),
            1 => style.bold = true,
            22 => style.bold = false,
            7 => style.reversed = true,
            27 => style.reversed = false,
            30..=37 => style.colour = Some(number - 30),
            90..=97 => style.colour = Some(number - 82),
            39 => style.colour = None,
            38 => style.colour = numbers.nth(1),
            _ => {}
        }
    }
    style
}

fn ink(style: Style) -> &'static str {
    style.colour.and_then(|colour| COLOURS.get(colour)).copied().unwrap_or(INK)
}

fn text(out: &mut String, (x, style, text): &(f64, Style, String), y: f64) {
    if text.trim().is_empty() && !style.reversed {
        return;
    }
    let width = text.chars().count() as f64 * WIDTH;
    if style.reversed {
        _ = writeln!(
            out,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{HEIGHT}\" fill=\"{}\"/>",
            ink(*style)
        );
    }
    let colour = if style.reversed { PAPER } else { ink(*style) };
    let weight = if style.bold { " font-weight=\"bold\"" } else { "" };
    // Renderers differ in the width of several spaces: each part is placed by itself.
    let mut column = 0;
    for part in text.split("  ") {
        let lead = part.chars().take_while(|letter| *letter == ' ').count();
        let (at, words) = (x + (column + lead) as f64 * WIDTH, part.trim());
        column += part.chars().count() + 2;
        if words.is_empty() {
            continue;
        }
        let width = words.chars().count() as f64 * WIDTH;
        let escaped = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let y = y + HEIGHT * 0.75;
        _ = writeln!(
            out,
            "<text x=\"{at:.1}\" y=\"{y:.1}\" textLength=\"{width:.1}\" fill=\"{colour}\"{weight}>{escaped}</text>"
        );
    }
}

fn is_drawn(letter: char) -> bool {
    matches!(letter, '\u{2500}'..='\u{259f}' | '\u{2800}'..='\u{28ff}')
}

fn shape(out: &mut String, letter: char, (x, y): (f64, f64), colour: &str) {
    let (middle, centre) = (x + WIDTH / 2.0, y + HEIGHT / 2.0);
    let (right, bottom) = (x + WIDTH, y + HEIGHT);
    let path = match letter {
        '─' => format!("M{x:.1} {centre:.1}H{right:.1}"),
        '│' => format!("M{middle:.1} {y:.1}V{bottom:.1}"),
        '┬' => format!("M{x:.1} {centre:.1}H{right:.1}M{middle:.1} {centre:.1}V{bottom:.1}"),
        '└' => format!("M{middle:.1} {y:.1}V{centre:.1}H{right:.1}"),
        '╭' => format!("M{middle:.1} {bottom:.1}Q{middle:.1} {centre:.1} {right:.1} {centre:.1}"),
        '╮' => format!("M{x:.1} {centre:.1}Q{middle:.1} {centre:.1} {middle:.1} {bottom:.1}"),
        '╰' => format!("M{middle:.1} {y:.1}Q{middle:.1} {centre:.1} {right:.1} {centre:.1}"),
        '╯' => format!("M{x:.1} {centre:.1}Q{middle:.1} {centre:.1} {middle:.1} {y:.1}"),
        '\u{2581}'..='\u{2588}' => {
            let height = f64::from(letter as u32 - 0x2580) / 8.0 * HEIGHT;
            _ = writeln!(
                out,
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{WIDTH}\" height=\"{height:.1}\" fill=\"{colour}\"/>",
                bottom - height
            );
            return;
        }
        '\u{2800}'..='\u{28ff}' => {
            // Column and row of each dot, in Unicode's order of the bits.
            let places = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3)];
            let mut dots = String::new();
            for (bit, (column, row)) in places.into_iter().enumerate() {
                if (letter as u32 >> bit) & 1 == 1 {
                    let across = x + WIDTH * (0.25 + 0.5 * f64::from(column));
                    let down = y + HEIGHT * (0.125 + 0.25 * f64::from(row));
                    _ = write!(dots, "M{across:.1} {down:.1}h0");
                }
            }
            let style = "stroke-width=\"2.6\" stroke-linecap=\"round\"";
            _ = writeln!(out, "<path d=\"{dots}\" stroke=\"{colour}\" {style}/>");
            return;
        }
        _ => return,
    };
    _ = writeln!(out, "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\"/>");
}
