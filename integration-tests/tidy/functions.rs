//! Functions that fit on a screen.

use super::{Source, Violation, plain::is_word};

const FUNCTION_LINES_MAX: usize = 70;

pub fn too_long(sources: &[Source]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in sources {
        for Function { name, line, lines } in functions(source.plain.text()) {
            if lines > FUNCTION_LINES_MAX {
                let what = format!("function {name} has {lines} lines");
                violations.push(Violation::new(&source.path, line, what));
            }
        }
    }
    violations
}

struct Function {
    name: String,
    line: usize,
    /// From the line with `fn` to the one with the last brace.
    lines: usize,
}

fn functions(plain: &str) -> Vec<Function> {
    let mut functions = Vec::new();
    for (at, _) in plain.match_indices("fn ") {
        if plain[..at].chars().next_back().is_some_and(is_word) {
            continue;
        }
        let rest = &plain[at..];
        let name: String = rest[3..].chars().take_while(|c| is_word(*c)).collect();
        if let Some(length) = body_end(rest).filter(|_| !name.is_empty()) {
            let line = plain[..at].matches('\n').count() + 1;
            functions.push(Function { name, line, lines: rest[..length].matches('\n').count() + 1 });
        }
    }
    functions
}

/// Where the function's last brace is; none of a function without a body.
fn body_end(rest: &str) -> Option<usize> {
    let (mut round_and_square, mut braces) = (0, 0);
    for (at, c) in rest.char_indices() {
        match c {
            '(' | '[' => round_and_square += 1,
            ')' | ']' => round_and_square -= 1,
            '{' => braces += 1,
            '}' => braces -= 1,
            ';' if round_and_square == 0 && braces == 0 => return None,
            _ => continue,
        }
        if c == '}' && braces == 0 {
            return Some(at);
        }
    }
    None
}
