//! The 99 colours of IRC, and others as near as they come.

/// A colour as people see it: red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rgb(pub(super) u8, pub(super) u8, pub(super) u8);

/// A colour as a line carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    /// 0 to 98 of the palette.
    Palette(u8),
    Hex(Rgb),
}

/// The palette ([colours](https://modern.ircdocs.horse/formatting#colors)).
const PALETTE: [u32; 99] = [
    0xff_ffff, 0x00_0000, 0x00_007f, 0x00_9300, 0xff_0000, 0x7f_0000, 0x9c_009c, 0xfc_7f00, 0xff_ff00,
    0x00_fc00, 0x00_9393, 0x00_ffff, 0x00_00fc, 0xff_00ff, 0x7f_7f7f, 0xd2_d2d2, 0x47_0000, 0x47_2100,
    0x47_4700, 0x32_4700, 0x00_4700, 0x00_472c, 0x00_4747, 0x00_2747, 0x00_0047, 0x2e_0047, 0x47_0047,
    0x47_002a, 0x74_0000, 0x74_3a00, 0x74_7400, 0x51_7400, 0x00_7400, 0x00_7449, 0x00_7474, 0x00_4074,
    0x00_0074, 0x4b_0074, 0x74_0074, 0x74_0045, 0xb5_0000, 0xb5_6300, 0xb5_b500, 0x7d_b500, 0x00_b500,
    0x00_b571, 0x00_b5b5, 0x00_63b5, 0x00_00b5, 0x75_00b5, 0xb5_00b5, 0xb5_006b, 0xff_0000, 0xff_8c00,
    0xff_ff00, 0xb2_ff00, 0x00_ff00, 0x00_ffa0, 0x00_ffff, 0x00_8cff, 0x00_00ff, 0xa5_00ff, 0xff_00ff,
    0xff_0098, 0xff_5959, 0xff_b459, 0xff_ff71, 0xcf_ff60, 0x6f_ff6f, 0x65_ffc9, 0x6d_ffff, 0x59_b4ff,
    0x59_59ff, 0xc4_59ff, 0xff_66ff, 0xff_59bc, 0xff_9c9c, 0xff_d39c, 0xff_ff9c, 0xe2_ff9c, 0x9c_ff9c,
    0x9c_ffdb, 0x9c_ffff, 0x9c_d3ff, 0x9c_9cff, 0xdc_9cff, 0xff_9cff, 0xff_94d3, 0x00_0000, 0x13_1313,
    0x28_2828, 0x36_3636, 0x4d_4d4d, 0x65_6565, 0x81_8181, 0x9f_9f9f, 0xbc_bcbc, 0xe2_e2e2, 0xff_ffff,
];

impl Rgb {
    const fn from_u32(rgb: u32) -> Self {
        let [_, red, green, blue] = rgb.to_be_bytes();
        Self(red, green, blue)
    }

    /// Reads `#rrggbb`, `#rgb` or the name of a colour of HTML.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let Some(hex) = text.strip_prefix('#') else { return named(&text.to_ascii_lowercase()) };
        if !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let value = u32::from_str_radix(hex, 16).ok()?;
        match hex.len() {
            6 => Some(Self::from_u32(value)),
            3 => {
                let [_, _, high, low] = value.to_be_bytes();
                Some(Self(high * 17, (low >> 4) * 17, (low & 15) * 17))
            }
            _ => None,
        }
    }

    /// The palette's nearest; where two are the same, the one that more clients know.
    pub(super) fn nearest(self) -> Colour {
        let distance = |index: &u8| {
            let other = Self::from_u32(PALETTE[usize::from(*index)]);
            let part = |a: u8, b: u8, weight: u32| u32::from(a.abs_diff(b)).pow(2) * weight;
            part(self.0, other.0, 3) + part(self.1, other.1, 6) + part(self.2, other.2, 1)
        };
        Colour::Palette((0..99).min_by_key(distance).unwrap_or(1))
    }
}

impl Colour {
    pub(super) fn rgb(self) -> Rgb {
        match self {
            Self::Palette(index) => Rgb::from_u32(PALETTE[usize::from(index % 99)]),
            Self::Hex(rgb) => rgb,
        }
    }
}

/// The sixteen colours of HTML 4.01.
fn named(name: &str) -> Option<Rgb> {
    let rgb = match name {
        "black" => 0x00_0000,
        "silver" => 0xc0_c0c0,
        "gray" | "grey" => 0x80_8080,
        "white" => 0xff_ffff,
        "maroon" => 0x80_0000,
        "red" => 0xff_0000,
        "purple" => 0x80_0080,
        "fuchsia" | "magenta" => 0xff_00ff,
        "green" => 0x00_8000,
        "lime" => 0x00_ff00,
        "olive" => 0x80_8000,
        "yellow" => 0xff_ff00,
        "navy" => 0x00_0080,
        "blue" => 0x00_00ff,
        "teal" => 0x00_8080,
        "aqua" | "cyan" => 0x00_ffff,
        "orange" => 0xff_a500,
        _ => return None,
    };
    Some(Rgb::from_u32(rgb))
}

#[cfg(test)]
mod tests {
    use super::{Colour, Rgb};

    #[test]
    fn colours_are_read_as_html_writes_them() {
        for (text, expected) in [
            ("#ff8000", Some(Rgb(255, 128, 0))),
            ("#F80", Some(Rgb(255, 136, 0))),
            (" red ", Some(Rgb(255, 0, 0))),
            ("#ff80", None),
            ("#+f8000", None),
            ("ff8000", None),
            ("", None),
        ] {
            assert_eq!(Rgb::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn every_colour_of_the_palette_is_its_own_nearest() {
        for index in 0..99 {
            let rgb = Colour::Palette(index).rgb();
            assert_eq!(rgb.nearest().rgb(), rgb, "{index}");
        }
        assert_eq!(Rgb(250, 3, 3).nearest(), Colour::Palette(4));
    }
}
