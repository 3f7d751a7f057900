//! Letters of other scripts in those of ASCII, as far as that is commonly done.

/// Letters, and what is written for each of them.
const TABLE: &[(&str, &str)] = &[
    ("ÀÁÂÃÅĀĂĄǍ", "A"),
    ("àáâãåāăąǎ", "a"),
    ("Ää", "Ae ae"),
    ("Ææ", "Ae ae"),
    ("ÇĆĈĊČ", "C"),
    ("çćĉċč", "c"),
    ("ÐĎĐ", "D"),
    ("ðďđ", "d"),
    ("ÈÉÊËĒĔĖĘĚ", "E"),
    ("èéêëēĕėęě", "e"),
    ("ĜĞĠĢ", "G"),
    ("ĝğġģ", "g"),
    ("ĤĦ", "H"),
    ("ĥħ", "h"),
    ("ÌÍÎÏĨĪĬĮİ", "I"),
    ("ìíîïĩīĭįı", "i"),
    ("Ĵĵ", "J j"),
    ("Ķķ", "K k"),
    ("ĹĻĽĿŁ", "L"),
    ("ĺļľŀł", "l"),
    ("ÑŃŅŇ", "N"),
    ("ñńņňŉ", "n"),
    ("ÒÓÔÕŌŎŐ", "O"),
    ("òóôõōŏő", "o"),
    ("ÖØöø", "Oe Oe oe oe"),
    ("Œœ", "Oe oe"),
    ("ŔŖŘ", "R"),
    ("ŕŗř", "r"),
    ("ŚŜŞŠȘ", "S"),
    ("śŝşšș", "s"),
    ("ß", "ss"),
    ("ŢŤŦȚ", "T"),
    ("ţťŧț", "t"),
    ("Þþ", "Th th"),
    ("ÙÚÛŨŪŬŮŰŲ", "U"),
    ("ùúûũūŭůűų", "u"),
    ("Üü", "Ue ue"),
    ("Ŵŵ", "W w"),
    ("ÝŶŸ", "Y"),
    ("ýÿŷ", "y"),
    ("ŹŻŽ", "Z"),
    ("źżž", "z"),
    // Greek
    ("ΑΆαά", "A A a a"),
    ("Ββ", "V v"),
    ("Γγ", "G g"),
    ("Δδ", "D d"),
    ("ΕΈεέ", "E E e e"),
    ("Ζζ", "Z z"),
    ("ΗΉηή", "I I i i"),
    ("Θθ", "Th th"),
    ("ΙΊιίϊ", "I I i i i"),
    ("Κκ", "K k"),
    ("Λλ", "L l"),
    ("Μμ", "M m"),
    ("Νν", "N n"),
    ("Ξξ", "X x"),
    ("ΟΌοό", "O O o o"),
    ("Ππ", "P p"),
    ("Ρρ", "R r"),
    ("Σσς", "S s s"),
    ("Ττ", "T t"),
    ("ΥΎυύ", "Y Y y y"),
    ("Φφ", "F f"),
    ("Χχ", "Ch ch"),
    ("Ψψ", "Ps ps"),
    ("ΩΏωώ", "O O o o"),
    // Cyrillic
    ("Аа", "A a"),
    ("Бб", "B b"),
    ("Вв", "V v"),
    ("ГгҐґ", "G g G g"),
    ("Дд", "D d"),
    ("ЕеЁёЭэ", "E e E e E e"),
    ("Єє", "Ie ie"),
    ("Жж", "Zh zh"),
    ("Зз", "Z z"),
    ("ИиІіЇїЙй", "I i I i I i I i"),
    ("Кк", "K k"),
    ("Лл", "L l"),
    ("Мм", "M m"),
    ("Нн", "N n"),
    ("Оо", "O o"),
    ("Пп", "P p"),
    ("Рр", "R r"),
    ("Сс", "S s"),
    ("Тт", "T t"),
    ("Уу", "U u"),
    ("Фф", "F f"),
    ("Хх", "Kh kh"),
    ("Цц", "Ts ts"),
    ("Чч", "Ch ch"),
    ("Шш", "Sh sh"),
    ("Щщ", "Shch shch"),
    ("ЪъЬь", "- - - -"),
    ("Ыы", "Y y"),
    ("Юю", "Yu yu"),
    ("Яя", "Ya ya"),
];

/// The ASCII letters for a letter of another script. `None` if there are none.
pub(super) fn transliterate(letter: char) -> Option<&'static str> {
    let (letters, ascii) = TABLE.iter().find(|(letters, _)| letters.contains(letter))?;
    let index = letters.chars().position(|known| known == letter)?;
    // One for all of them, or one for each.
    let found = ascii.split(' ').nth(index).or_else(|| ascii.split(' ').next_back())?;
    Some(found.trim_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::{TABLE, transliterate};

    #[test]
    fn letters_are_written_as_is_common() {
        for (letter, ascii) in [
            ('é', Some("e")),
            ('Ä', Some("Ae")),
            ('ö', Some("oe")),
            ('ß', Some("ss")),
            ('Ж', Some("Zh")),
            ('ь', Some("")),
            ('ς', Some("s")),
            ('語', None),
            ('a', None),
        ] {
            assert_eq!(transliterate(letter), ascii, "{letter}");
        }
    }

    #[test]
    fn each_letter_has_its_own_or_all_have_one() {
        for (letters, ascii) in TABLE {
            let count = ascii.split(' ').count();
            assert!(count == 1 || count == letters.chars().count(), "{letters}");
            assert!(ascii.bytes().all(|b| b.is_ascii_alphabetic() || b == b' ' || b == b'-'), "{letters}");
        }
    }
}
