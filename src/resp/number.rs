//! Numbers as Redis reads and writes them.

/// A signed 64-bit integer in strict decimal form: no blanks, no `+`, no leading zeros, no `-0`
/// (Redis' `string2ll`).
#[inline]
pub fn parse_int(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [] => return None,
        [b'0'] => return (!negative).then_some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut magnitude: u64 = 0;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        magnitude = magnitude * 10 + digit as u64;
    }
    if negative {
        (magnitude <= 1 << 63).then(|| (magnitude as i64).wrapping_neg())
    } else {
        i64::try_from(magnitude).ok()
    }
}

/// A float as Redis' `getDoubleFromObject`: no blanks around it, `inf`/`infinity` with a sign and
/// in any case, hexadecimal refused, NaN refused, and so is what is too large or too small.
pub fn parse_double(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let value: f64 = text.parse().ok()?;
    let is_lost = if value.is_infinite() {
        !text.contains(['i', 'I'])
    } else {
        let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
        value == 0.0 && mantissa.contains(|digit| matches!(digit, '1'..='9'))
    };
    (!value.is_nan() && !is_lost).then_some(value)
}

/// A double as Redis 7.2 prints it, in the shortest form that reads back: `3`, `1.5`, `1e+30`,
/// `1e-9`, `inf`.
pub fn format_double(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_string();
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0" } else { "0" }.to_string();
    }
    // Whole numbers are printed as such in half the range of 64 bits.
    if value.fract() == 0.0 && value.abs() <= (i64::MAX / 2) as f64 {
        return itoa::Buffer::new().format(value as i64).to_string();
    }
    let (digits, exponent) = shortest_digits(value);
    let sign = if value < 0.0 { "-" } else { "" };
    // The power of ten of the last digit.
    let scale = exponent - (digits.len() as i32 - 1);
    let is_plain = if scale < 0 {
        scale > -7 || exponent.abs() < 4
    } else {
        exponent < digits.len() as i32 + 7
    };
    if is_plain {
        format!("{sign}{}", plain(&digits, exponent))
    } else {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        let mark = if exponent < 0 { '-' } else { '+' };
        format!("{sign}{first}{point}{rest}e{mark}{}", exponent.abs())
    }
}

/// The shortest decimal digits that read back as `value`, and the exponent of the first one.
fn shortest_digits(value: f64) -> (String, i32) {
    let text = format!("{:e}", value.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    (digits, exponent.parse().unwrap_or(0))
}

fn plain(digits: &str, exponent: i32) -> String {
    if exponent < 0 {
        return format!("0.{}{digits}", "0".repeat((-exponent - 1) as usize));
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        format!("{digits}{}", "0".repeat(whole - digits.len()))
    } else {
        format!("{}.{}", &digits[..whole], &digits[whole..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_strict() {
        assert_eq!(parse_int(b"0"), Some(0));
        assert_eq!(parse_int(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_int(b"9223372036854775807"), Some(i64::MAX));
        for bad in [
            "",
            "-",
            "-0",
            "01",
            "+1",
            " 1",
            "1 ",
            "9223372036854775808",
            "1a",
            "99999999999999999999",
        ] {
            assert_eq!(parse_int(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn doubles_read_back() {
        for (value, text) in [
            (3.0, "3"),
            (1.5, "1.5"),
            (0.1, "0.1"),
            (-2.25, "-2.25"),
            (1e17, "100000000000000000"),
            (4e18, "4000000000000000000"),
            (1e23, "1e+23"),
            (1.2e30, "1.2e+30"),
            (1e-5, "0.00001"),
            (1e-9, "1e-9"),
            (1.5e-9, "1.5e-9"),
            (1234567.125, "1234567.125"),
            (3.14159e-100, "3.14159e-100"),
            (0.0001, "0.0001"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(format_double(value), text);
        }
        assert_eq!(parse_double(b"inf"), Some(f64::INFINITY));
        assert_eq!(parse_double(b"-INF"), Some(f64::NEG_INFINITY));
        assert_eq!(parse_double(b"nan"), None);
        assert_eq!(parse_double(b"1e400"), None);
        assert_eq!(parse_double(b"-1e-400"), None);
        assert_eq!(parse_double(b"0e-400"), Some(0.0));
        assert_eq!(parse_double(b" 1"), None);
        assert_eq!(parse_double(b"1e3"), Some(1000.0));
    }
}
