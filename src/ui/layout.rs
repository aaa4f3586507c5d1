//! Where boxes go: layers from left to right, what needs left of what is needed.
//!
//! Deterministic: the same picture gives the same places. Positions come from `rust_sugiyama`; very
//! large graphs get plain layers in the order given, which costs next to nothing.

use rust_sugiyama::configure::Config;

use super::Picture;

/// Size of a box.
pub(crate) const WIDTH: f64 = 210.0;
/// Size of a box.
pub(crate) const HEIGHT: f64 = 62.0;
const GAP_X: f64 = 80.0;
const GAP_Y: f64 = 22.0;
const MARGIN: f64 = 14.0;
/// Beyond this many nodes the optimal order is worth less than its cost.
const MAX_NODES: usize = 1_200;

/// Places of the boxes' upper left corners, and the size of the whole.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    /// One for each node.
    pub(crate) at: Vec<(f64, f64)>,
    /// Width of the picture.
    pub(crate) width: f64,
    /// Height of the picture.
    pub(crate) height: f64,
}

/// Lays a picture out.
pub(crate) fn layout(picture: &Picture) -> Layout {
    let count = picture.nodes.len();
    let mut at = if count <= MAX_NODES {
        sugiyama(picture)
    } else {
        layers(picture)
    };
    let left = at.iter().map(|(x, _)| *x).fold(f64::INFINITY, f64::min);
    let top = at.iter().map(|(_, y)| *y).fold(f64::INFINITY, f64::min);
    for (x, y) in &mut at {
        *x = (*x - left + MARGIN).round();
        *y = (*y - top + MARGIN).round();
    }
    let width = at.iter().map(|(x, _)| x + WIDTH).fold(0.0, f64::max) + MARGIN;
    let height = at.iter().map(|(_, y)| y + HEIGHT).fold(0.0, f64::max) + MARGIN;
    Layout { at, width, height }
}

/// Layers by the library; its layers grow downwards, ours to the right, so that the axes are swapped.
fn sugiyama(picture: &Picture) -> Vec<(f64, f64)> {
    let number = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
    let vertices: Vec<(u32, (f64, f64))> = (0..picture.nodes.len())
        .map(|index| (number(index), (HEIGHT, WIDTH)))
        .collect();
    let mut edges: Vec<(u32, u32)> = picture
        .edges
        .iter()
        .filter(|edge| edge.from != edge.to)
        .map(|edge| (number(edge.from), number(edge.to)))
        .collect();
    edges.sort_unstable();
    edges.dedup();
    let config = Config {
        vertex_spacing: GAP_Y,
        ..Config::default()
    };
    let parts = rust_sugiyama::from_vertices_and_edges(&vertices, &edges, &config);
    let depth = depths(picture);
    let mut places = vec![(0.0, 0.0); picture.nodes.len()];
    // Parts in the order of their first node, one under the other.
    let mut parts: Vec<_> = parts.into_iter().map(|(nodes, _, _)| nodes).collect();
    parts.sort_by_key(|nodes| nodes.iter().map(|(index, _)| *index).min());
    let mut top = 0.0;
    for nodes in parts {
        let low = nodes
            .iter()
            .map(|(_, (x, _))| *x)
            .fold(f64::INFINITY, f64::min);
        let high = nodes
            .iter()
            .map(|(_, (x, _))| *x)
            .fold(f64::NEG_INFINITY, f64::max);
        for (index, (x, _)) in nodes {
            #[expect(clippy::cast_precision_loss, reason = "a depth is small")]
            let layer = depth[index] as f64;
            places[index] = (layer * (WIDTH + GAP_X), top + (x - low));
        }
        top += high - low + HEIGHT + GAP_Y;
    }
    apart(&mut places);
    places
}

/// Moves boxes of one column apart where they would touch, keeping their order.
fn apart(places: &mut [(f64, f64)]) {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by(|a, b| {
        let (a, b) = (places[*a], places[*b]);
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    for pair in 1..order.len() {
        let (above, below) = (places[order[pair - 1]], places[order[pair]]);
        if (above.0 - below.0).abs() < 1.0 && below.1 < above.1 + HEIGHT + GAP_Y {
            places[order[pair]].1 = above.1 + HEIGHT + GAP_Y;
        }
    }
}

/// The longest way to each node from one that nobody needs.
fn depths(picture: &Picture) -> Vec<usize> {
    let count = picture.nodes.len();
    let mut needs: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut open = vec![0_usize; count];
    for edge in &picture.edges {
        if edge.from != edge.to {
            needs[edge.from].push(edge.to);
            open[edge.to] += 1;
        }
    }
    let mut depth = vec![0; count];
    let mut ready: Vec<usize> = (0..count).filter(|index| open[*index] == 0).collect();
    while let Some(from) = ready.pop() {
        for to in &needs[from] {
            depth[*to] = depth[*to].max(depth[from] + 1);
            open[*to] -= 1;
            if open[*to] == 0 {
                ready.push(*to);
            }
        }
    }
    depth
}

/// Plain layers in the order given.
fn layers(picture: &Picture) -> Vec<(f64, f64)> {
    let mut used: Vec<f64> = Vec::new();
    depths(picture)
        .into_iter()
        .map(|depth| {
            if used.len() <= depth {
                used.resize(depth + 1, 0.0);
            }
            let y = used[depth];
            used[depth] += HEIGHT + GAP_Y;
            #[expect(clippy::cast_precision_loss, reason = "a depth is small")]
            let x = depth as f64 * (WIDTH + GAP_X);
            (x, y)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::tests::picture;
    use crate::ui::{Edge, Node};

    #[test]
    fn what_needs_stands_left_of_what_is_needed() {
        let picture = picture();
        let laid = layout(&picture);
        for edge in &picture.edges {
            assert!(
                laid.at[edge.from].0 < laid.at[edge.to].0,
                "{edge:?} in {laid:?}"
            );
        }
    }

    #[test]
    fn no_two_boxes_touch_and_the_layout_is_the_same_each_time() {
        let one = picture().nodes.remove(0);
        let many = Picture {
            nodes: (0..60)
                .map(|index| Node {
                    name: format!("n{index}"),
                    ..one.clone()
                })
                .collect(),
            edges: (1..60)
                .map(|to| Edge {
                    from: (to - 1) / 3,
                    to,
                    alias: None,
                })
                .collect(),
        };
        let laid = layout(&many);
        assert_eq!(laid, layout(&many));
        for (i, a) in laid.at.iter().enumerate() {
            for b in &laid.at[i + 1..] {
                assert!(
                    (a.0 - b.0).abs() >= WIDTH || (a.1 - b.1).abs() >= HEIGHT,
                    "{a:?} and {b:?} touch"
                );
            }
        }
    }

    #[test]
    fn an_empty_graph_has_a_layout() {
        assert!(layout(&Picture::default()).at.is_empty());
    }
}
