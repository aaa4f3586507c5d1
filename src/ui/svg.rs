//! The graph as SVG: one file, no script, no fonts from elsewhere, readable in light and dark, with a
//! text for those who do not see it.

use std::fmt::Write as _;

use super::layout::{self, HEIGHT, WIDTH};
use super::{Mark, Picture};

/// How many characters fit into a box.
const FITS: usize = 28;

const STYLE: &str = "\
.wl{--bg:#fff;--ink:#1c2128;--soft:#57606a;--line:#8c959f;--box:#f6f8fa;--work:#ddf4ff;--add:#1a7f37;--chg:#9a6700;--rem:#cf222e}\
@media(prefers-color-scheme:dark){.wl{--bg:#0d1117;--ink:#e6edf3;--soft:#9da7b3;--line:#6e7681;--box:#161b22;--work:#0c2d4b;--add:#3fb950;--chg:#d29922;--rem:#f85149}}\
.wl text{font-family:ui-sans-serif,system-ui,-apple-system,'Segoe UI',sans-serif;fill:var(--ink)}\
.wl .n{font-size:13px;font-weight:600}.wl .k{font-size:11.5px;fill:var(--soft)}\
.wl .m{font-size:11px;fill:var(--soft);font-family:ui-monospace,Menlo,Consolas,monospace}\
.wl .a{font-size:10.5px;fill:var(--soft);paint-order:stroke;stroke:var(--bg);stroke-width:4px;stroke-linejoin:round}\
.wl rect{fill:var(--box);stroke:var(--line);stroke-width:1.2}.wl .workload rect{fill:var(--work)}\
.wl .added rect{stroke:var(--add);stroke-width:2.4}.wl .changed rect{stroke:var(--chg);stroke-width:2.4}\
.wl .removed rect{stroke:var(--rem);stroke-width:2.4;stroke-dasharray:6 4}\
.wl .added .s{fill:var(--add)}.wl .changed .s{fill:var(--chg)}.wl .removed .s{fill:var(--rem)}.wl .s{font-size:13px;font-weight:700}\
.wl path{fill:none;stroke:var(--line);stroke-width:1.3}.wl .h{fill:var(--line);stroke:none}";

/// Renders a picture. `name` makes ids unique where several pictures share a page.
pub(crate) fn render(picture: &Picture, title: &str, name: &str) -> String {
    let laid = layout::layout(picture);
    let mut svg = String::new();
    let (width, height) = (laid.width.max(60.0), laid.height.max(40.0));
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"wl\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"{name}-t {name}-d\">\
         <title id=\"{name}-t\">{}</title><desc id=\"{name}-d\">{}</desc><style>{STYLE}</style>\
         <defs><marker id=\"{name}-h\" viewBox=\"0 0 8 8\" refX=\"7.5\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\">\
         <path class=\"h\" d=\"M0 0 8 4 0 8z\"/></marker></defs>",
        escape(title),
        escape(&description(picture)),
    );
    for edge in &picture.edges {
        let ((x1, y1), (x2, y2)) = (laid.at[edge.from], laid.at[edge.to]);
        let (from, to) = ((x1 + WIDTH, y1 + HEIGHT / 2.0), (x2, y2 + HEIGHT / 2.0));
        let bend = ((to.0 - from.0) / 2.0).max(30.0);
        let _ = write!(
            svg,
            "<path d=\"M{} {}C{} {} {} {} {} {}\" marker-end=\"url(#{name}-h)\"/>",
            from.0,
            from.1,
            from.0 + bend,
            from.1,
            to.0 - bend,
            to.1,
            to.0,
            to.1,
        );
    }
    for edge in &picture.edges {
        let Some(alias) = &edge.alias else { continue };
        // Where a node is needed by one other only, its own name says as much as the alias.
        let ((_, y1), (x2, y2)) = (laid.at[edge.from], laid.at[edge.to]);
        let lean = if y1 > y2 { 12.0 } else { -6.0 };
        let _ = write!(
            svg,
            "<text class=\"a\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            x2 - 12.0,
            y2 + HEIGHT / 2.0 + lean,
            escape(&fit(alias, 18)),
        );
    }
    for (node, (x, y)) in picture.nodes.iter().zip(&laid.at) {
        let class = if node.is_workload { " workload" } else { "" };
        let mut tip = format!("{} ({})", node.name, node.kind);
        if let Some(module) = &node.module {
            let _ = write!(tip, "\nmodule {module}");
        }
        if let Some(why) = &node.why {
            let _ = write!(tip, "\nchosen by {why}");
        }
        let _ = write!(
            svg,
            "<g class=\"{}{class}\"><title>{}</title><rect x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"{}\"/>",
            node.mark.word(),
            escape(&tip),
            if node.is_workload { 18 } else { 7 },
        );
        let sign = match node.mark {
            Mark::Same => "",
            Mark::Added => "+",
            Mark::Changed => "~",
            Mark::Removed => "−",
        };
        let _ = write!(
            svg,
            "<text class=\"n\" x=\"{}\" y=\"{}\">{}</text><text class=\"k\" x=\"{}\" y=\"{}\">{}</text>",
            x + 12.0,
            y + 21.0,
            escape(&fit(&node.name, FITS - 2)),
            x + 12.0,
            y + 37.0,
            escape(&fit(&node.kind, FITS)),
        );
        if let Some(module) = &node.module {
            let _ = write!(
                svg,
                "<text class=\"m\" x=\"{}\" y=\"{}\">{}</text>",
                x + 12.0,
                y + 52.0,
                escape(&fit(module, FITS)),
            );
        }
        if !sign.is_empty() {
            let _ = write!(
                svg,
                "<text class=\"s\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{sign}</text>",
                x + WIDTH - 10.0,
                y + 21.0,
            );
        }
        svg.push_str("</g>");
    }
    svg.push_str("</svg>");
    svg
}

/// The picture in words.
fn description(picture: &Picture) -> String {
    let mut words = format!("{} nodes.", picture.nodes.len());
    for (index, node) in picture.nodes.iter().enumerate().take(40) {
        let needs: Vec<&str> = picture
            .edges
            .iter()
            .filter(|edge| edge.from == index)
            .map(|edge| picture.nodes[edge.to].name.as_str())
            .collect();
        let _ = write!(
            words,
            " {} ({}, {})",
            node.name,
            node.kind,
            node.mark.word()
        );
        if !needs.is_empty() {
            let _ = write!(words, " needs {}", needs.join(", "));
        }
        words.push('.');
    }
    if picture.nodes.len() > 40 {
        words.push_str(" The rest is in the list.");
    }
    words
}

/// Cuts a text in its middle, where ids differ least.
fn fit(text: &str, room: usize) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= room {
        return text.to_owned();
    }
    let tail = (room - 1) * 2 / 3;
    let head = room - 1 - tail;
    chars[..head]
        .iter()
        .chain(&['…'])
        .chain(&chars[chars.len() - tail..])
        .collect()
}

/// Text that cannot leave an element or an attribute; controls that XML forbids are dropped.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::tests::picture;

    #[test]
    fn names_are_escaped_and_told_in_words() {
        let svg = render(&picture(), "shop <dev>", "g1");
        assert!(svg.contains("shop &lt;dev&gt;"));
        assert!(svg.contains("postgres.&lt;large&gt;"));
        assert!(!svg.contains("<large>"));
        assert!(svg.contains("workloads.web.app (score-workload, changed) needs shared.db."));
        assert_eq!(svg.matches("<rect").count(), 3);
        assert_eq!(svg.matches("marker-end").count(), 3);
    }

    #[test]
    fn long_names_keep_their_ends() {
        assert_eq!(
            fit("workloads.checkout.database-primary", 20)
                .chars()
                .count(),
            20
        );
        assert!(fit("workloads.checkout.database-primary", 20).ends_with("primary"));
    }
}
