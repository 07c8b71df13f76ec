//! What the player means: a key or a click, seen against the screen, becomes an [`Intent`].
//!
//! Only presses count. A terminal that speaks the kitty protocol also reports repeats and releases,
//! and those are ignored: one press is one attack. (A plain terminal cannot tell a held key from
//! many presses, so there a held key attacks again and again.)
//!
//! The help lies over the game and does not pause it: every key keeps its meaning, and Esc closes
//! the help.

use crossterm::event::{
    Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::layout::{Position, Rect};

use crate::raft::NodeId;

use super::app::App;
use super::view;

/// What the player wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// To hit that player. The board waits for the order.
    Attack(NodeId),
    /// To hit a player who does not exist.
    Nobody(NodeId),
    /// To hit somebody, where one can only look on.
    Watching,
    /// To leave.
    Quit,
    /// To see the help, or the game again.
    ToggleHelp,
    /// To have the mouse for the terminal, or for the game again.
    ToggleMouse,
}

/// What an event of the terminal means on a screen of that size, if anything.
pub fn intent(app: &App, event: &Event, area: Rect) -> Option<Intent> {
    match event {
        Event::Key(key) if key.kind == KeyEventKind::Press => pressed(app, key),
        Event::Mouse(mouse) => clicked(app, mouse, area),
        _ => None,
    }
}

fn pressed(app: &App, key: &KeyEvent) -> Option<Intent> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c' | 'C') if control => Some(Intent::Quit),
        _ if key
            .modifiers
            .intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) =>
        {
            None
        }
        KeyCode::Char('q' | 'Q') => Some(Intent::Quit),
        KeyCode::Char('?') => Some(Intent::ToggleHelp),
        KeyCode::Esc if app.help => Some(Intent::ToggleHelp),
        KeyCode::Char('m' | 'M') => Some(Intent::ToggleMouse),
        KeyCode::Char('1'..='9') if app.seat.watches => Some(Intent::Watching),
        KeyCode::Char(digit @ '1'..='9') => {
            let id = NodeId::from(digit.to_digit(10)?);
            Some(match app.player(id) {
                Some(_) => Intent::Attack(id),
                None => Intent::Nobody(id),
            })
        }
        _ => None,
    }
}

fn clicked(app: &App, mouse: &MouseEvent, area: Rect) -> Option<Intent> {
    if mouse.kind != MouseEventKind::Down(MouseButton::Left) {
        return None;
    }
    if app.help {
        return Some(Intent::ToggleHelp);
    }
    let position = Position::new(mouse.column, mouse.row);
    let hit = view::player_at(app, area, position)?;
    Some(match app.seat.watches {
        true => Intent::Watching,
        false => Intent::Attack(hit),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use crossterm::event::KeyEventState;

    use super::*;
    use crate::ui::Seat;
    use crate::ui::theme::{Depth, Theme};

    const AREA: Rect = Rect::new(0, 0, 80, 24);

    fn app() -> App {
        let seat = Seat {
            id: 1,
            players: (1..=5).map(|id| (id, format!("bob{id}"))).collect(),
            title: "local".to_string(),
            watches: false,
        };
        App::new(seat, Theme::new(Depth::True), Instant::now())
    }

    fn key(code: KeyCode, modifiers: KeyModifiers, kind: KeyEventKind) -> Event {
        Event::Key(KeyEvent {
            code,
            modifiers,
            kind,
            state: KeyEventState::NONE,
        })
    }

    fn press(app: &App, c: char) -> Option<Intent> {
        let event = key(KeyCode::Char(c), KeyModifiers::NONE, KeyEventKind::Press);
        intent(app, &event, AREA)
    }

    fn click(app: &App, column: u16, row: u16, button: MouseButton) -> Option<Intent> {
        let event = Event::Mouse(MouseEvent {
            kind: MouseEventKind::Down(button),
            column,
            row,
            modifiers: KeyModifiers::NONE,
        });
        intent(app, &event, AREA)
    }

    #[test]
    fn a_digit_attacks_that_player_or_says_that_there_is_none() {
        let app = app();
        assert_eq!(press(&app, '3'), Some(Intent::Attack(3)));
        assert_eq!(press(&app, '6'), Some(Intent::Nobody(6)));
        assert_eq!(press(&app, '0'), None);
        assert_eq!(press(&app, 'x'), None);
    }

    #[test]
    fn q_and_control_c_quit_and_a_bare_c_does_not() {
        let app = app();
        let control_c = key(
            KeyCode::Char('c'),
            KeyModifiers::CONTROL,
            KeyEventKind::Press,
        );
        assert_eq!(intent(&app, &control_c, AREA), Some(Intent::Quit));
        assert_eq!(press(&app, 'q'), Some(Intent::Quit));
        assert_eq!(press(&app, 'c'), None);
        let control_q = key(
            KeyCode::Char('q'),
            KeyModifiers::CONTROL,
            KeyEventKind::Press,
        );
        assert_eq!(intent(&app, &control_q, AREA), None);
    }

    #[test]
    fn repeats_and_releases_are_not_presses() {
        let app = app();
        for kind in [KeyEventKind::Repeat, KeyEventKind::Release] {
            let event = key(KeyCode::Char('3'), KeyModifiers::NONE, kind);
            assert_eq!(intent(&app, &event, AREA), None);
        }
    }

    #[test]
    fn escape_closes_the_help_and_only_that() {
        let mut app = app();
        let escape = key(KeyCode::Esc, KeyModifiers::NONE, KeyEventKind::Press);
        assert_eq!(intent(&app, &escape, AREA), None);
        app.help = true;
        assert_eq!(intent(&app, &escape, AREA), Some(Intent::ToggleHelp));
    }

    #[test]
    fn every_cell_of_the_screen_attacks_whoever_is_drawn_there() {
        let app = app();
        let mut hit = [0; 6];
        for row in 0..AREA.height {
            for column in 0..AREA.width {
                match click(&app, column, row, MouseButton::Left) {
                    Some(Intent::Attack(id)) => hit[id as usize] += 1,
                    other => assert_eq!(other, None),
                }
            }
        }
        assert_eq!(hit[0], 0);
        assert!(hit[1] > 0 && hit[1..].iter().all(|&cells| cells == hit[1]));
    }

    #[test]
    fn a_right_click_does_nothing_and_a_click_on_the_help_closes_it() {
        let mut app = app();
        for column in 0..40 {
            assert_eq!(click(&app, column, 12, MouseButton::Right), None);
        }
        app.help = true;
        assert_eq!(
            click(&app, 20, 12, MouseButton::Left),
            Some(Intent::ToggleHelp)
        );
    }
}
