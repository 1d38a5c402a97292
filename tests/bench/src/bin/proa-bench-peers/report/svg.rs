//! Bars as SVG, readable on light and on dark pages: the picture has a ground of its own that follows the reader's scheme.

use std::fmt::Write as _;

/// Bars that are compared with each other: each group has a scale of its own.
pub(super) struct Group {
    pub(super) label: String,
    pub(super) bars: Vec<Bar>,
}

/// One bar, or that there is none.
pub(super) struct Bar {
    pub(super) value: Option<f64>,
    pub(super) label: String,
}

const WIDTH: usize = 760;
const MARGIN: usize = 16;
const LONGEST: usize = 600;
const BAR: usize = 13;
const BAR_STEP: usize = 16;
const LABEL: usize = 20;
const GROUP_GAP: usize = 10;
const HEAD: usize = 76;

/// Light first. The three colours differ in brightness too, for readers who cannot tell them apart by hue.
const STYLE: &str = "\
.ground{fill:#ffffff;stroke:#d0d7de}.text{fill:#1f2328}.faint{fill:#59636e}\
.bar0{fill:#0969da}.bar1{fill:#8c959f}.bar2{fill:#bf8700}\
@media (prefers-color-scheme:dark){.ground{fill:#0d1117;stroke:#3d444d}.text{fill:#e6edf3}.faint{fill:#9198a1}\
.bar0{fill:#4493f8}.bar1{fill:#6e7681}.bar2{fill:#d29922}}\
text{font-family:system-ui,-apple-system,'Segoe UI',sans-serif;font-size:12px}.title{font-size:16px;font-weight:600}";

/// The picture.
pub(super) fn draw(title: &str, note: &str, series: &[&str], groups: &[Group]) -> String {
    let heights = groups.iter().map(|g| LABEL + g.bars.len() * BAR_STEP + GROUP_GAP);
    let height = HEAD + heights.sum::<usize>() + MARGIN;
    let mut body = String::new();
    text(&mut body, "title text", MARGIN, 28, title);
    legend(&mut body, series, note);
    let mut y = HEAD;
    for group in groups {
        text(&mut body, "text", MARGIN, y + 12, &group.label);
        y += LABEL;
        let most = group.bars.iter().filter_map(|b| b.value).fold(0.0, f64::max);
        for (at, bar) in group.bars.iter().enumerate() {
            let share = bar.value.filter(|_| most > 0.0).map_or(0.0, |value| value / most);
            let length = LONGEST as f64 * share;
            if bar.value.is_some() {
                body += &format!(
                    "<rect class=\"bar{at}\" x=\"{MARGIN}\" y=\"{y}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\"/>\n",
                    length.max(1.0)
                );
            }
            text(&mut body, "text", MARGIN + length as usize + 6, y + 11, &bar.label);
            y += BAR_STEP;
        }
        y += GROUP_GAP;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"6\"/>\n{body}</svg>\n",
        escaped(title),
        WIDTH - 1,
        height - 1,
    )
}

fn legend(body: &mut String, series: &[&str], note: &str) {
    const SWATCH: usize = 10;
    // Wide enough for a letter of the font at its size, on average.
    const LETTER: usize = 7;
    let mut x = MARGIN;
    for (at, name) in series.iter().enumerate() {
        body.push_str(&format!(
            "<rect class=\"bar{at}\" x=\"{x}\" y=\"43\" width=\"{SWATCH}\" height=\"{SWATCH}\" rx=\"2\"/>\n"
        ));
        text(body, "text", x + SWATCH + 5, 52, name);
        x += SWATCH + 20 + name.len() * LETTER;
    }
    text(body, "faint", x + 6, 52, note);
}

fn text(body: &mut String, class: &str, x: usize, y: usize, words: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(body, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>", escaped(words));
}

fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_of_each_group_has_the_same_length() {
        let bar = |value: f64| Bar { value: Some(value), label: value.to_string() };
        let none = Bar { value: None, label: "failed".into() };
        let groups = [
            Group { label: "a < b".into(), bars: vec![bar(5.0), bar(10.0)] },
            Group { label: "c".into(), bars: vec![bar(3000.0), none] },
        ];
        let svg = draw("t", "n", &["x", "y"], &groups);
        assert_eq!(svg.matches("width=\"600.0\"").count(), 2, "{svg}");
        assert_eq!(svg.matches("width=\"300.0\"").count(), 1, "{svg}");
        assert!(svg.contains("a &lt; b") && svg.contains(">failed<"), "{svg}");
    }
}
