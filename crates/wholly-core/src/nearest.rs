//! The known name that is nearest to an unknown word.

/// The least likeness of two words of which one may be a slip for the other.
const ALIKE: f64 = 0.5;

/// The name that is most like `word`, and its likeness: from a half up to 1, which is the same.
/// Letters that changed places are one mistake.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<(f64, &'a str)> {
    let length = word.chars().count();
    // Other names cannot be like it, and a word of a megabyte would take much memory to find out.
    let in_length = |name: &&str| (length / 2..=length * 2).contains(&name.chars().count());
    let alike = |name| (strsim::normalized_damerau_levenshtein(word, name), name);
    let alike = names.into_iter().filter(in_length).map(alike);
    alike.filter(|(alike, _)| *alike >= ALIKE).max_by(|(a, _), (b, _)| a.total_cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        let nearest = |word| nearest(word, ["reserve", "charge", "confirm"]).map(|(_, name)| name);
        assert_eq!(nearest("resreve"), Some("reserve"));
        assert_eq!(nearest("chargé"), Some("charge"));
        assert_eq!(nearest("confirmed"), Some("confirm"));
        assert_eq!(nearest("ship"), None);
        assert_eq!(nearest(""), None);
    }
}
