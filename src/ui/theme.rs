//! Colours: who wears which, how they fade, and what a terminal can show of them.
//!
//! Every colour is chosen as an `Ink` and leaves this module as a ratatui [`Style`] that fits the
//! terminal: 24 bits, 256 colours, 16, or none at all. With `NO_COLOR` no style carries a colour,
//! and what colour says is said a second time anyway: by a fill character on the board, by a mark
//! in the log, by a word in the table.
//!
//! The fading is the report's: a player's colour over white with alpha 255, 190 below 90 hit
//! points, 150 below 60 and 100 below 30; the dead are dark.
//!
//! Caveats: the terminal's background is never asked for, so everything outside the board uses the
//! terminal's own foreground and inks that can be read on black and on white. With 16 colours the
//! palette belongs to the terminal, and there the fading is left to the fill characters.

use ratatui::style::{Color, Modifier, Style};

use crate::raft::{NodeId, RoleName};

/// How many colours the terminal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// `NO_COLOR`: bold, dim and reversed, and nothing else.
    Mono,
    /// The sixteen that every terminal has.
    Sixteen,
    /// The fixed palette of 256.
    Indexed,
    /// 24 bits.
    True,
}

/// Turns what a thing is into how it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    depth: Depth,
}

/// A player's square: what it is filled with, and how to write on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// `█`, `▓`, `▒`, `░`, and `╳` for the dead.
    pub symbol: char,
    /// For the symbol.
    pub fill: Style,
    /// For text upon the square.
    pub text: Style,
}

/// A colour, exact and as one of the sixteen.
#[derive(Clone, Copy, Debug)]
struct Ink(Rgb, Color);

type Rgb = (u8, u8, u8);

const WHITE: Rgb = (255, 255, 255);
const BLACK: Rgb = (0, 0, 0);
/// What the dead are covered with.
const SHROUD: Rgb = (38, 40, 46);

const PLAYERS: [Ink; 9] = [
    Ink((224, 49, 49), Color::Red),
    Ink((38, 160, 74), Color::Green),
    Ink((41, 105, 230), Color::Blue),
    Ink((245, 190, 25), Color::Yellow),
    Ink((194, 50, 188), Color::Magenta),
    Ink((10, 165, 190), Color::Cyan),
    Ink((240, 115, 25), Color::LightRed),
    Ink((112, 72, 222), Color::LightBlue),
    Ink((145, 94, 56), Color::LightGreen),
];

/// Neighbouring terms never share an ink.
const TERMS: [Ink; 6] = [
    Ink((53, 146, 196), Color::Cyan),
    Ink((205, 140, 30), Color::Yellow),
    Ink((170, 95, 200), Color::Magenta),
    Ink((60, 155, 85), Color::Green),
    Ink((215, 90, 80), Color::Red),
    Ink((95, 125, 215), Color::Blue),
];

const FAINT: Ink = Ink((112, 118, 132), Color::DarkGray);
const LINE: Ink = Ink((84, 90, 104), Color::DarkGray);
const GROUND: Ink = Ink((58, 63, 74), Color::DarkGray);
const GOOD: Ink = Ink((52, 168, 83), Color::Green);
const BUSY: Ink = Ink((214, 150, 20), Color::Yellow);
const BAD: Ink = Ink((224, 70, 66), Color::Red);

impl Theme {
    /// A theme for a terminal of that depth.
    pub const fn new(depth: Depth) -> Theme {
        Theme { depth }
    }

    /// Reads `NO_COLOR`, `COLORTERM` and `TERM` through `variable`.
    pub fn detect(variable: impl Fn(&str) -> Option<String>) -> Theme {
        let is = |name: &str, test: &dyn Fn(&str) -> bool| variable(name).is_some_and(|v| test(&v));
        let depth = if is("NO_COLOR", &|v| !v.is_empty()) {
            Depth::Mono
        } else if is("COLORTERM", &|v| v == "truecolor" || v == "24bit") {
            Depth::True
        } else if is("TERM", &|v| v.contains("256color")) {
            Depth::Indexed
        } else {
            Depth::Sixteen
        };
        Theme { depth }
    }

    /// How a player's square looks with that many hit points.
    pub fn square(self, id: NodeId, hp: u32) -> Fill {
        let Ink(base, ansi) = player(id);
        let (symbol, alpha) = match hp {
            0 => ('╳', 0),
            1..30 => ('░', 100),
            30..60 => ('▒', 150),
            60..90 => ('▓', 190),
            _ => ('█', 255),
        };
        let dead = hp == 0;
        let (fill, text) = match self.depth {
            Depth::Mono => (Style::new(), Style::new()),
            Depth::Sixteen if dead => {
                let dark = Style::new().bg(Color::Black);
                (dark.fg(Color::DarkGray), dark.fg(Color::Gray))
            }
            // The symbol mixes the player's colour with white, as alpha does elsewhere.
            Depth::Sixteen => {
                let ink = match ansi {
                    Color::Red | Color::Blue | Color::Magenta => Color::White,
                    _ => Color::Black,
                };
                let paper = if alpha == 255 { ansi } else { Color::White };
                (
                    Style::new().fg(ansi).bg(paper),
                    Style::new().fg(ink).bg(ansi),
                )
            }
            Depth::Indexed | Depth::True if dead => {
                let dark = Style::new().bg(self.exact(SHROUD));
                let trace = blend(base, SHROUD, 90);
                let faint = blend(WHITE, SHROUD, 150);
                (dark.fg(self.exact(trace)), dark.fg(self.exact(faint)))
            }
            Depth::Indexed | Depth::True => {
                let faded = blend(base, WHITE, alpha);
                let paper = if alpha == 255 {
                    faded
                } else {
                    blend(faded, WHITE, 150)
                };
                let (faded_color, paper) = (self.exact(faded), self.exact(paper));
                (
                    Style::new().fg(faded_color).bg(paper),
                    Style::new()
                        .fg(self.exact(readable_on(faded)))
                        .bg(faded_color),
                )
            }
        };
        let weight = if dead { Modifier::DIM } else { Modifier::BOLD };
        let text = match (self.depth, dead) {
            (Depth::Mono, _) | (_, false) => text.add_modifier(weight),
            (_, true) => text,
        };
        Fill { symbol, fill, text }
    }

    /// A player's colour as a background, for a number or a short message.
    pub fn badge(self, id: NodeId) -> Style {
        match self.depth {
            Depth::Mono => Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED),
            _ => self.square(id, u32::MAX).text,
        }
    }

    /// A player's colour for text on the terminal's own background.
    pub fn player(self, id: NodeId) -> Style {
        self.fg(player(id)).add_modifier(Modifier::BOLD)
    }

    /// Entries and elections of a term.
    pub fn term(self, term: u64) -> Style {
        self.fg(TERMS[(term % TERMS.len() as u64) as usize])
    }

    /// A role's name.
    pub fn role(self, role: RoleName) -> Style {
        match role {
            RoleName::Leader => self.fg(GOOD).add_modifier(Modifier::BOLD),
            RoleName::Candidate => self.fg(BUSY).add_modifier(Modifier::BOLD),
            RoleName::Follower => Style::new(),
            RoleName::Learner => self.faint(),
        }
    }

    /// What can be looked past: labels, times, what has not happened yet.
    pub fn faint(self) -> Style {
        match self.depth {
            Depth::Mono => Style::new().add_modifier(Modifier::DIM),
            _ => self.fg(FAINT),
        }
    }

    /// Frames.
    pub fn line(self) -> Style {
        match self.depth {
            Depth::Mono => Style::new().add_modifier(Modifier::DIM),
            _ => self.fg(LINE),
        }
    }

    /// The outlines of empty squares: hardly there.
    pub fn ground(self) -> Style {
        match self.depth {
            Depth::Mono => self.line(),
            _ => self.fg(GROUND),
        }
    }

    /// Something went well.
    pub fn good(self) -> Style {
        self.fg(GOOD)
    }

    /// Something is under way.
    pub fn busy(self) -> Style {
        self.fg(BUSY).add_modifier(Modifier::BOLD)
    }

    /// Something went wrong.
    pub fn bad(self) -> Style {
        self.fg(BAD).add_modifier(Modifier::BOLD)
    }

    /// A bad message across the header.
    pub fn alarm(self) -> Style {
        let style = Style::new().add_modifier(Modifier::BOLD);
        match self.depth {
            Depth::Mono => style.add_modifier(Modifier::REVERSED),
            Depth::Sixteen => style.fg(Color::White).bg(BAD.1),
            _ => style
                .fg(self.exact(WHITE))
                .bg(self.exact(blend(BAD.0, BLACK, 200))),
        }
    }

    fn fg(self, Ink(rgb, ansi): Ink) -> Style {
        match self.depth {
            Depth::Mono => Style::new(),
            Depth::Sixteen => Style::new().fg(ansi),
            Depth::Indexed | Depth::True => Style::new().fg(self.exact(rgb)),
        }
    }

    /// The colour itself, or the nearest of the 256.
    fn exact(self, rgb: Rgb) -> Color {
        match self.depth {
            Depth::True => Color::Rgb(rgb.0, rgb.1, rgb.2),
            _ => Color::Indexed(nearest(rgb)),
        }
    }
}

/// Ids are 1 to 9; a stranger wraps around rather than panics.
fn player(id: NodeId) -> Ink {
    PLAYERS[(id.wrapping_sub(1) % PLAYERS.len() as u64) as usize]
}

/// `top` over `under`; alpha 255 shows `top` alone.
fn blend(top: Rgb, under: Rgb, alpha: u16) -> Rgb {
    let mix = |top: u8, under: u8| {
        ((u16::from(top) * alpha + u16::from(under) * (255 - alpha) + 127) / 255) as u8
    };
    (
        mix(top.0, under.0),
        mix(top.1, under.1),
        mix(top.2, under.2),
    )
}

/// Black or white, whichever can be read upon `paper` (Rec. 601 luma).
fn readable_on((r, g, b): Rgb) -> Rgb {
    let luma = (299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b)) / 1000;
    if luma > 140 { BLACK } else { WHITE }
}

/// The six levels of the colour cube in the palette of 256; the cube starts at 16.
pub(super) const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];

/// The nearest colour in the palette of 256: in the cube (16 to 231) or among the greys.
fn nearest(rgb: Rgb) -> u8 {
    let level = |value: u8| {
        (0..6)
            .min_by_key(|&i| value.abs_diff(LEVELS[i]))
            .expect("there are six levels")
    };
    let (r, g, b) = (level(rgb.0), level(rgb.1), level(rgb.2));
    let cube = (LEVELS[r], LEVELS[g], LEVELS[b]);
    let mean = (u16::from(rgb.0) + u16::from(rgb.1) + u16::from(rgb.2)) / 3;
    let step = (mean.saturating_sub(3) / 10).min(23) as u8;
    let grey = 8 + 10 * step;
    if distance(rgb, (grey, grey, grey)) < distance(rgb, cube) {
        232 + step
    } else {
        (16 + 36 * r + 6 * g + b) as u8
    }
}

fn distance(a: Rgb, b: Rgb) -> u32 {
    let square = |a: u8, b: u8| u32::from(a.abs_diff(b)).pow(2);
    square(a.0, b.0) + square(a.1, b.1) + square(a.2, b.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(variables: &[(&str, &str)]) -> Depth {
        let find = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name)?;
            Some(found.1.to_string())
        };
        Theme::detect(find).depth
    }

    #[test]
    fn the_environment_says_how_many_colours_there_are_and_no_color_has_the_last_word() {
        assert_eq!(detect(&[]), Depth::Sixteen);
        assert_eq!(detect(&[("TERM", "xterm-256color")]), Depth::Indexed);
        assert_eq!(detect(&[("COLORTERM", "24bit")]), Depth::True);
        let all = [
            ("COLORTERM", "truecolor"),
            ("TERM", "xterm-256color"),
            ("NO_COLOR", "1"),
        ];
        assert_eq!(detect(&all), Depth::Mono);
        assert_eq!(
            detect(&[("NO_COLOR", ""), ("COLORTERM", "truecolor")]),
            Depth::True
        );
    }

    #[test]
    fn a_colour_fades_over_white_at_90_60_and_30_and_the_dead_are_dark() {
        let theme = Theme::new(Depth::True);
        let paper = |hp| theme.square(1, hp).text.bg.unwrap();
        assert_eq!(paper(100), Color::Rgb(224, 49, 49));
        assert_eq!(paper(90), paper(100));
        assert_eq!(paper(89), Color::Rgb(232, 102, 102));
        assert_eq!(paper(60), paper(70));
        assert_eq!(paper(59), Color::Rgb(237, 134, 134));
        assert_eq!(paper(29), Color::Rgb(243, 174, 174));
        assert_eq!(paper(0), Color::Rgb(38, 40, 46));
        let symbols: String = [100, 70, 40, 10, 0]
            .map(|hp| theme.square(1, hp).symbol)
            .iter()
            .collect();
        assert_eq!(symbols, "█▓▒░╳");
    }

    #[test]
    fn without_colour_no_style_has_one() {
        let theme = Theme::new(Depth::Mono);
        let mut styles = vec![
            theme.faint(),
            theme.line(),
            theme.good(),
            theme.busy(),
            theme.bad(),
            theme.alarm(),
            theme.term(3),
            theme.role(RoleName::Leader),
            theme.role(RoleName::Candidate),
        ];
        for id in 1..=9 {
            styles.extend([theme.badge(id), theme.player(id)]);
            for hp in [100, 70, 40, 10, 0] {
                styles.extend([theme.square(id, hp).fill, theme.square(id, hp).text]);
            }
        }
        assert!(styles.iter().all(|s| s.fg.is_none() && s.bg.is_none()));
    }

    #[test]
    fn nine_players_wear_nine_colours_at_every_depth() {
        for depth in [Depth::Sixteen, Depth::Indexed, Depth::True] {
            let theme = Theme::new(depth);
            let colours: std::collections::HashSet<_> =
                (1..=9).map(|id| theme.badge(id).bg).collect();
            assert_eq!(colours.len(), 9, "{depth:?}");
        }
    }

    #[test]
    fn the_palette_of_256_is_matched_exactly_where_it_can_be() {
        assert_eq!(nearest((255, 0, 0)), 196);
        assert_eq!(nearest((95, 135, 175)), 67);
        assert_eq!(nearest((8, 8, 8)), 232);
        assert_eq!(nearest((238, 238, 238)), 255);
        assert_eq!(nearest(WHITE), 231);
    }
}
