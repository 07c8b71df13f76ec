//! The table of nodes: what each says of itself, or that it says nothing.
//!
//! ```text
//!   node    role       term commit  last  match  rtt ms
//! 1 bob1    follower      4     12    13
//! 2 bob2    leader        4     12    13             0.4
//! 3 bob3    silent
//! ```
//!
//! `match` and `rtt` appear where there is room. They are this node's knowledge of its peers, and
//! `match` is known to a leader only.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use crate::ui::app::{App, Node, NodeState, Standing};

use super::{compact, fit, panel};

/// A row with role, term, commit and last index is this wide.
const ROW: u16 = 38;
const MATCH: u16 = 7;
const RTT: u16 = 8;

/// Draws the table in its frame.
pub fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let title = format!(" Cluster {} ", fit(&app.seat.title, 20));
    let inner = panel(app, title, area, buffer);
    let shows = Columns {
        rtt: inner.width >= ROW + RTT,
        matched: inner.width >= ROW + RTT + MATCH,
    };
    let mut rows = inner.rows();
    if usize::from(inner.height) > app.nodes.len()
        && let Some(row) = rows.next()
    {
        shows.heading().style(app.theme.faint()).render(row, buffer);
    }
    let hidden = app.nodes.len().saturating_sub(usize::from(inner.height));
    let shown = match hidden {
        0 => app.nodes.len(),
        hidden => app.nodes.len().saturating_sub(hidden + 1),
    };
    for (node, row) in app.nodes[..shown].iter().zip(&mut rows) {
        shows.row(app, node).render(row, buffer);
    }
    if let (1.., Some(row)) = (hidden, rows.next()) {
        let more = format!("  and {} more", app.nodes.len() - shown);
        Line::styled(more, app.theme.faint()).render(row, buffer);
    }
}

struct Columns {
    rtt: bool,
    matched: bool,
}

impl Columns {
    fn heading(&self) -> Line<'static> {
        let mut text = "  node    role       term commit  last".to_string();
        if self.matched {
            text += "  match";
        }
        if self.rtt {
            text += "  rtt ms";
        }
        Line::raw(text)
    }

    fn row(&self, app: &App, node: &Node) -> Line<'static> {
        let own = node.id == app.seat.id;
        let weight = if own {
            Modifier::BOLD
        } else {
            Modifier::empty()
        };
        // A spectator's id is longer than a player's.
        let id = format!("{:<2}", node.id);
        let id = if node.id > 9 { format!("{id} ") } else { id };
        let room = 10 - id.len();
        let name = fit(&node.name, room - 1);
        let padding = room.saturating_sub(Span::raw(name.as_str()).width());
        let mut spans = vec![
            Span::styled(id, app.theme.player(node.id)),
            Span::styled(
                format!("{name}{:padding$}", ""),
                Style::new().add_modifier(weight),
            ),
        ];
        match &node.state {
            NodeState::Awaited(_) => spans.push(Span::styled("...", app.theme.faint())),
            NodeState::Silent => spans.push(Span::styled("silent", app.theme.bad())),
            NodeState::Heard(_, standing) => {
                spans.extend(self.standing(app, standing));
                spans.extend(self.progress(app, node));
            }
        }
        Line::from(spans)
    }

    fn standing(&self, app: &App, standing: &Standing) -> [Span<'static>; 3] {
        let Standing {
            role,
            term,
            commit,
            last,
        } = *standing;
        [
            Span::styled(format!("{role:<9}"), app.theme.role(role)),
            Span::styled(format!("{:>6}", compact(term)), app.theme.term(term)),
            Span::raw(format!("{:>7}{:>6}", compact(commit), compact(last))),
        ]
    }

    /// What this node's own view says of its peers.
    fn progress(&self, app: &App, node: &Node) -> Vec<Span<'static>> {
        let peers = app.view.iter().flat_map(|view| &view.status.peers);
        let peer = peers.into_iter().find(|peer| peer.id == node.id);
        let mut spans = Vec::new();
        if self.matched {
            let index = peer.and_then(|peer| peer.match_index);
            spans.push(Span::raw(format!(
                "{:>7}",
                index.map(compact).unwrap_or_default()
            )));
        }
        if self.rtt {
            let ms = peer.and_then(|peer| peer.rtt_ms).map(milliseconds);
            spans.push(Span::styled(
                format!("{:>8}", ms.unwrap_or_default()),
                app.theme.faint(),
            ));
        }
        spans
    }
}

/// Tenths up to a hundred milliseconds, whole ones above.
fn milliseconds(ms: f64) -> String {
    match ms {
        ms if !ms.is_finite() || ms < 0.0 => String::new(),
        ms if ms < 100.0 => format!("{ms:.1}"),
        ms => compact(ms as u64),
    }
}
