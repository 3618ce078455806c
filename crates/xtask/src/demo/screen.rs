//! What the demo prints: titles, results, and a table that redraws itself at a terminal.

use std::io::{IsTerminal, Write};

/// Standard output, with a block of lines at its end that can be drawn again.
pub struct Screen {
    is_terminal: bool,
    drawn: usize,
    last: Vec<String>,
}

impl Screen {
    pub fn new() -> Self {
        Screen { is_terminal: std::io::stdout().is_terminal(), drawn: 0, last: Vec::new() }
    }

    /// Begins a part.
    pub fn title(&mut self, text: &str) {
        self.keep();
        println!("\n{}", self.styled("1", text));
    }

    /// Tells a result.
    pub fn passed(&mut self, text: &str) {
        self.keep();
        println!("  {} {text}", self.styled("32", "ok"));
    }

    /// Tells something to know.
    pub fn tell(&mut self, text: &str) {
        self.keep();
        println!("  {text}");
    }

    /// Tells what went wrong.
    pub fn failed(&mut self, error: &anyhow::Error) {
        self.keep();
        println!("  {} {error:#}", self.styled("31", "FAILED"));
    }

    /// Draws a block in the place of the last one. Without a terminal, nothing until [`Screen::keep`].
    pub fn draw(&mut self, lines: Vec<String>) {
        if self.is_terminal {
            if self.drawn > 0 {
                print!("\x1b[{}A\x1b[J", self.drawn);
            }
            lines.iter().for_each(|line| println!("{line}"));
            let _ = std::io::stdout().flush();
            self.drawn = lines.len();
        }
        self.last = lines;
    }

    /// Leaves the last block where it is.
    pub fn keep(&mut self) {
        if !self.is_terminal {
            self.last.iter().for_each(|line| println!("{line}"));
        }
        (self.drawn, self.last) = (0, Vec::new());
    }

    fn styled(&self, code: &str, text: &str) -> String {
        if self.is_terminal { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
