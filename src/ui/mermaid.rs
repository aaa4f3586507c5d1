//! The graph as mermaid text, for places that draw it themselves: pull requests, wikis.

use std::fmt::Write as _;

use super::{Mark, Picture};

/// Renders a flowchart.
pub(crate) fn render(picture: &Picture) -> String {
    let mut text = String::from("flowchart LR\n");
    for (index, node) in picture.nodes.iter().enumerate() {
        let mut lines = vec![escape(&node.name), escape(&node.kind)];
        lines.extend(node.module.as_deref().map(escape));
        let label = lines.join("<br>");
        let (open, close) = if node.is_workload {
            ("([", "])")
        } else {
            ("[", "]")
        };
        let _ = writeln!(text, "  n{index}{open}\"{label}\"{close}");
    }
    for edge in &picture.edges {
        let _ = match &edge.alias {
            Some(alias) => writeln!(
                text,
                "  n{} -- \"{}\" --> n{}",
                edge.from,
                escape(alias),
                edge.to
            ),
            None => writeln!(text, "  n{} --> n{}", edge.from, edge.to),
        };
    }
    for (mark, style) in [
        (Mark::Added, "stroke:#1a7f37,stroke-width:2px"),
        (Mark::Changed, "stroke:#9a6700,stroke-width:2px"),
        (
            Mark::Removed,
            "stroke:#cf222e,stroke-width:2px,stroke-dasharray:5 3",
        ),
    ] {
        let marked: Vec<String> = picture
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| node.mark == mark)
            .map(|(index, _)| format!("n{index}"))
            .collect();
        if !marked.is_empty() {
            let word = mark.word();
            let _ = writeln!(
                text,
                "  classDef {word} {style}\n  class {} {word}",
                marked.join(",")
            );
        }
    }
    text
}

/// Text that cannot leave a label.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => safe.push_str("#quot;"),
            '#' => safe.push_str("#35;"),
            '<' => safe.push_str("#lt;"),
            '>' => safe.push_str("#gt;"),
            '&' => safe.push_str("#amp;"),
            '`' => safe.push_str("#96;"),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use crate::ui::tests::picture;

    #[test]
    fn names_cannot_leave_their_labels() {
        insta::assert_snapshot!(super::render(&picture()), @r#"
        flowchart LR
          n0(["web<br>workload"])
          n1["workloads.web.app<br>score-workload<br>app@1"]
          n2["shared.db<br>postgres.#lt;large#gt;<br>pg@2"]
          n0 -- "app" --> n1
          n0 -- "db" --> n2
          n1 -- "db" --> n2
          classDef added stroke:#1a7f37,stroke-width:2px
          class n2 added
          classDef changed stroke:#9a6700,stroke-width:2px
          class n1 changed
        "#);
    }
}
