//! The board: four by four squares, a player on some of them.
//!
//! ```text
//! 18x8 and more        8x4         9x2, the smallest
//! ▓▓▓▓▓▓▓▓▓▓▓▓▓▓       ▓▓▓▓▓▓▓▓    ▓1 bob1▓▓
//! ▓▓▓▓▓▓▓▓▓▓▓▓▓▓       ▓1 bob1▓    ▓ 70 HP ▓
//! ▓▓▓ ▸1 bob1 ▓▓▓      ▓ 70 HP▓
//! ▓▓▓  70 HP  ▓▓▓      ▓▓▓▓▓▓▓▓
//! ▓▓▓   you   ▓▓▓
//! ▓▓▓▓▓▓▓▓▓▓▓▓▓▓
//! ```
//!
//! Colour and fill say the same: full, hit once, twice, three times, dead. An empty square is
//! an outline, or a dot where it is small.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::Line;
use ratatui::widgets::{Block, BorderType, Widget};

use crate::game::{BOARD_SIZE, Player, Ruin};
use crate::ui::app::App;

use super::fit;

/// Draws every player on their square.
pub fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let grid = Grid::new(area);
    for (column, row) in (0..BOARD_SIZE).flat_map(|c| (0..BOARD_SIZE).map(move |r| (c, r))) {
        let cell = grid.cell(column, row);
        empty(app, cell, buffer);
    }
    for ruin in &app.ruins {
        let (column, row) = ruin.square;
        rubble(app, ruin, grid.cell(column, row), buffer);
    }
    for player in &app.board {
        square(app, player, grid.square(player.square), buffer);
    }
}

/// What is left of a player who has gone for good: rubble, and a name where there is room.
fn rubble(app: &App, ruin: &Ruin, area: Rect, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    let style = app.theme.faint();
    for position in area.positions() {
        // Sparse, the same at each frame, and unlike any player's fill.
        let symbol = match (position.x * 7 + position.y * 3) % 5 {
            0 => '▖',
            2 => '▗',
            _ => ' ',
        };
        if let Some(cell) = buffer.cell_mut(position) {
            cell.set_char(symbol).set_style(style);
        }
    }
    let name = fit(&ruin.name, usize::from(area.width.saturating_sub(2)));
    let text = Rect {
        y: area.y + area.height / 2,
        height: area.height.min(1),
        ..area
    };
    Line::styled(format!(" {name} "), style)
        .centered()
        .render(text, buffer);
}

/// A square without a player: an outline, or a dot where that is all there is room for.
fn empty(app: &App, area: Rect, buffer: &mut Buffer) {
    if area.height >= 3 {
        Block::bordered()
            .border_type(BorderType::Rounded)
            .border_style(app.theme.ground())
            .render(area, buffer);
    } else if let Some(cell) = buffer.cell_mut((area.x + area.width / 2, area.y)) {
        cell.set_char('·').set_style(app.theme.faint());
    }
}

fn square(app: &App, player: &Player, area: Rect, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    if area.is_empty() {
        return;
    }
    let look = app.theme.square(player.id, player.hp);
    for position in area.positions() {
        if let Some(cell) = buffer.cell_mut(position) {
            cell.set_char(look.symbol).set_style(look.fill);
        }
    }

    let own = player.id == app.seat.id;
    let mark = if own { "▸" } else { "" };
    // A column of fill on either side, so that it shows in the smallest square too; the mark of
    // the player's own square may stand on one of them.
    let margin = if own { 1 } else { 2 };
    let room = usize::from(area.width.saturating_sub(margin));
    let label = fit(&format!("{mark}{} {}", player.id, player.name), room);
    // Below the number, not below the mark.
    let indent = if own { " " } else { "" };
    let health = match player.hp {
        0 => "dead".to_string(),
        hp => format!("{indent}{hp} HP"),
    };
    let mut lines = vec![label, health];
    if own && area.height >= 5 {
        lines.push("you".to_string());
    }
    let padding = if area.width >= 14 { 2 } else { 0 };
    let width = lines.iter().map(|l| Line::raw(l.as_str()).width()).max();
    let width = (width.unwrap_or(0) + 2 * padding).min(room.max(1)) as u16;
    let height = (lines.len() as u16).min(area.height);
    let text = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    for (line, row) in lines.into_iter().zip(text.rows()) {
        for position in row.positions() {
            if let Some(cell) = buffer.cell_mut(position) {
                cell.set_char(' ').set_style(look.text);
            }
        }
        let mut style = look.text;
        if own && line == "you" {
            style = style.add_modifier(Modifier::UNDERLINED);
        }
        Line::styled(line, style).centered().render(row, buffer);
    }
}

/// Where the squares are: as large as fits, about as high as wide, in the middle of the area.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    origin: (u16, u16),
    square: (u16, u16),
    gap: (u16, u16),
}

/// The least width of a square: `▓1 bob1 ▓`.
const LEAST_WIDTH: u16 = 8;
/// Larger squares look empty.
const MOST_ROWS: u16 = 12;
/// Between two squares; two columns look as wide as one row.
const GAP: (u16, u16) = (2, 1);
const GAPS: u16 = BOARD_SIZE - 1;
const FRAME: u16 = 2;

impl Grid {
    /// The largest grid that fits.
    pub fn new(area: Rect) -> Grid {
        let rows = (area.height.saturating_sub(GAPS * GAP.1) / BOARD_SIZE).clamp(1, MOST_ROWS);
        // At 40 columns without a frame, one wider square is worth more than a wide gap.
        let gap = if rows > 2 { GAP } else { (1, GAP.1) };
        let columns = area.width.saturating_sub(GAPS * gap.0) / BOARD_SIZE;
        let columns = columns.clamp(1, (2 * rows).max(LEAST_WIDTH + 1));
        let rows = rows.min(columns.div_ceil(2) + 1);
        let total = (
            BOARD_SIZE * columns + GAPS * gap.0,
            BOARD_SIZE * rows + GAPS * gap.1,
        );
        Grid {
            origin: (
                area.x + area.width.saturating_sub(total.0) / 2,
                area.y + area.height.saturating_sub(total.1) / 2,
            ),
            square: (columns, rows),
            gap,
        }
    }

    /// How wide a framed board of that height wants to be.
    pub fn framed_width(height: u16) -> u16 {
        let rows = height.saturating_sub(FRAME + GAPS * GAP.1) / BOARD_SIZE;
        let columns = (2 * rows.min(MOST_ROWS)).max(LEAST_WIDTH);
        BOARD_SIZE * columns + GAPS * GAP.0 + FRAME
    }

    /// How high a framed board of that width wants to be.
    pub fn framed_height(width: u16) -> u16 {
        let columns = width.saturating_sub(FRAME + GAPS * GAP.0) / BOARD_SIZE;
        BOARD_SIZE * (columns / 2).clamp(2, MOST_ROWS) + GAPS * GAP.1 + FRAME
    }

    /// The square at that column and row; empty for one that is not on the board.
    pub fn square(&self, (column, row): (u16, u16)) -> Rect {
        match column < BOARD_SIZE && row < BOARD_SIZE {
            true => self.cell(column, row),
            false => Rect::ZERO,
        }
    }

    fn cell(&self, column: u16, row: u16) -> Rect {
        Rect {
            x: self.origin.0 + column * (self.square.0 + self.gap.0),
            y: self.origin.1 + row * (self.square.1 + self.gap.1),
            width: self.square.0,
            height: self.square.1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::game::SQUARES;

    #[test]
    fn at_40_by_11_the_squares_fill_the_area() {
        let grid = Grid::new(Rect::new(0, 1, 40, 11));
        assert_eq!(grid.square, (9, 2));
        assert_eq!(grid.cell(0, 0).y, 1);
        assert_eq!(grid.cell(3, 3).bottom(), 12);
    }

    #[test]
    fn squares_stay_inside_their_area_and_apart() {
        for width in 35..200 {
            for height in 11..60 {
                let area = Rect::new(3, 2, width, height);
                let grid = Grid::new(area);
                for (at, &own) in SQUARES.iter().enumerate() {
                    let square = grid.square(own);
                    assert_eq!(area.intersection(square), square, "{area:?}");
                    let mut others = SQUARES[..at].iter();
                    assert!(others.all(|&other| !grid.square(other).intersects(square)));
                }
            }
        }
    }

    #[test]
    fn a_square_that_is_not_on_the_board_is_empty() {
        let grid = Grid::new(Rect::new(0, 0, 40, 11));
        for square in [(4, 0), (0, 4), (u16::MAX, 0)] {
            assert!(grid.square(square).is_empty());
        }
    }
}
