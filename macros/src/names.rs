//! Names on the wire from names in Rust.

/// `UserCreated` to `user_created`, `HTTPStatusChanged` to `http_status_changed`.
pub(crate) fn snake_case(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut snake = String::with_capacity(name.len() + 4);
    for (at, char) in chars.iter().enumerate() {
        if char.is_uppercase() && at > 0 && chars[at - 1] != '_' {
            let after_word = !chars[at - 1].is_uppercase();
            let before_word = chars.get(at + 1).is_some_and(|next| next.is_lowercase());
            if after_word || before_word {
                snake.push('_');
            }
        }
        snake.extend(char.to_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::snake_case;

    #[test]
    fn words_and_acronyms_are_told_apart() {
        for (name, expected) in [
            ("UserCreated", "user_created"),
            ("HTTPStatusChanged", "http_status_changed"),
            ("UserIDChanged", "user_id_changed"),
            ("UserID", "user_id"),
            ("OrderV2Placed", "order_v2_placed"),
            ("Order2Placed", "order2_placed"),
            ("A", "a"),
            ("already_snake", "already_snake"),
            ("Mixed_Case", "mixed_case"),
        ] {
            assert_eq!(snake_case(name), expected, "{name}");
        }
    }
}
