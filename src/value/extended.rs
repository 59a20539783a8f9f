//! Floats of 64 bits of mantissa, as x86's extended precision: what `INCRBYFLOAT` and
//! `HINCRBYFLOAT` of Redis count in. In software, so that every replica counts alike.

/// A finite number, `mantissa * 2^exponent`, or an infinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extended {
    negative: bool,
    /// The top bit is set, or the number is zero.
    mantissa: u64,
    exponent: i32,
    infinite: bool,
}

/// Longest text that Redis reads as such a number, in bytes.
const TEXT_BYTES_MAX: usize = 5 * 1024;

/// Exponents of the largest and of the smallest number that is not zero.
const EXPONENT_MAX: i32 = 16320;
const EXPONENT_MIN: i32 = -16508;

/// Digits behind the point in the printed form.
const DECIMALS: usize = 17;

impl Extended {
    const ZERO: Extended = Extended {
        negative: false,
        mantissa: 0,
        exponent: 0,
        infinite: false,
    };

    /// Reads `[+-]digits[.digits][e[+-]digits]` or `[+-]inf[inity]`; `None` for anything else and
    /// for what is too large or too small. Hexadecimal, which Redis takes, is refused.
    pub fn parse(text: &[u8]) -> Option<Extended> {
        if text.len() >= TEXT_BYTES_MAX {
            return None;
        }
        let (negative, unsigned) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        if unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity") {
            return Some(Extended {
                negative,
                infinite: true,
                ..Extended::ZERO
            });
        }
        let mark = unsigned.iter().position(|byte| matches!(byte, b'e' | b'E'));
        let (number, scale) = match mark {
            Some(at) => (&unsigned[..at], parse_scale(&unsigned[at + 1..])?),
            None => (unsigned, 0),
        };
        let point = number.iter().position(|byte| *byte == b'.');
        let (whole, decimals) = match point {
            Some(at) => (&number[..at], &number[at + 1..]),
            None => (number, &[][..]),
        };
        let mut digits = whole.iter().chain(decimals);
        if whole.len() + decimals.len() == 0 || !digits.all(u8::is_ascii_digit) {
            return None;
        }
        let mut natural = Natural::default();
        let digits = whole.iter().chain(decimals).map(|digit| digit - b'0');
        let mut significant = 0i64;
        for digit in digits.skip_while(|digit| *digit == 0) {
            natural.multiply_add(10, digit as u32);
            significant += 1;
        }
        if significant == 0 {
            return Some(Extended {
                negative,
                ..Extended::ZERO
            });
        }
        let scale = scale - decimals.len() as i64;
        // Ten to this power is above the number: beyond these the range is left for certain.
        if !(-4960..=4940).contains(&(significant + scale)) {
            return None;
        }
        let (mantissa, exponent) = if scale >= 0 {
            (0..scale).for_each(|_| natural.multiply_add(10, 0));
            natural.round(0)
        } else {
            let mut divisor = Natural(vec![1]);
            (0..-scale).for_each(|_| divisor.multiply_add(10, 0));
            // Enough bits that the quotient has more than 64.
            let shift = (divisor.bits() + 66).saturating_sub(natural.bits());
            natural.shift_left(shift);
            let (mut quotient, exact) = natural.divide(&divisor);
            if !exact {
                // One more bit stands for all that is below.
                quotient.shift_left(1);
                quotient.0[0] |= 1;
                quotient.round(-(shift as i32) - 1)
            } else {
                quotient.round(-(shift as i32))
            }
        };
        (EXPONENT_MIN..=EXPONENT_MAX)
            .contains(&exponent)
            .then_some(Extended {
                negative,
                mantissa,
                exponent,
                infinite: false,
            })
    }

    pub fn is_finite(self) -> bool {
        !self.infinite
    }

    /// The sum, rounded to even; infinite on overflow. `None` where it would be no number.
    pub fn add(self, other: Extended) -> Option<Extended> {
        if self.infinite || other.infinite {
            let sum = if self.infinite { self } else { other };
            let opposed = self.infinite && other.infinite && self.negative != other.negative;
            return (!opposed).then_some(sum);
        }
        if self.mantissa == 0 || other.mantissa == 0 {
            return Some(if self.mantissa == 0 { other } else { self });
        }
        let (large, small) = if (self.exponent, self.mantissa) >= (other.exponent, other.mantissa) {
            (self, other)
        } else {
            (other, self)
        };
        // 62 bits below the larger one's last; a bit lost below them is kept in the last of them.
        let shift = (large.exponent - small.exponent) as u32;
        let high = (large.mantissa as u128) << 62;
        let whole = (small.mantissa as u128) << 62;
        let low = whole.checked_shr(shift).unwrap_or(0);
        let lost = low.checked_shl(shift) != Some(whole);
        let low = low | lost as u128;
        let total = if large.negative == small.negative {
            high + low
        } else {
            high - low
        };
        if total == 0 {
            return Some(Extended::ZERO);
        }
        let (mantissa, exponent) = round(total, large.exponent - 62);
        Some(Extended {
            negative: large.negative,
            mantissa,
            exponent,
            infinite: exponent > EXPONENT_MAX,
        })
    }

    /// As Redis prints it for people (`%.17Lf` without trailing zeros): `3000`, `10.6`. The number
    /// is finite.
    pub fn print(self) -> String {
        let text = if self.exponent >= 0 {
            let mut natural = Natural(vec![self.mantissa as u32, (self.mantissa >> 32) as u32]);
            natural.shift_left(self.exponent as usize);
            natural.print()
        } else {
            let scaled = self.mantissa as u128 * 10u128.pow(DECIMALS as u32);
            let shift = -self.exponent as u32;
            let whole = scaled.checked_shr(shift).unwrap_or(0);
            let rest = scaled - whole.checked_shl(shift).unwrap_or(0);
            let half = 1u128.checked_shl(shift - 1).unwrap_or(u128::MAX);
            let up = rest > half || (rest == half && whole & 1 == 1);
            let digits = format!("{:0>18}", whole + up as u128);
            let (whole, decimals) = digits.split_at(digits.len() - DECIMALS);
            let decimals = decimals.trim_end_matches('0');
            match decimals {
                "" => whole.to_string(),
                _ => format!("{whole}.{decimals}"),
            }
        };
        if self.negative && text != "0" {
            format!("-{text}")
        } else {
            text
        }
    }
}

/// `[+-]digits`, held within what no longer matters.
fn parse_scale(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let scale = digits.iter().fold(0i64, |scale, digit| {
        (scale * 10 + (digit - b'0') as i64).min(1_000_000)
    });
    Some(if negative { -scale } else { scale })
}

/// Rounds `bits * 2^exponent` to 64 bits, half to even. `bits` is not 0.
fn round(bits: u128, exponent: i32) -> (u64, i32) {
    let length = 128 - bits.leading_zeros();
    if length <= 64 {
        let shift = 64 - length;
        return ((bits as u64) << shift, exponent - shift as i32);
    }
    let shift = length - 64;
    let kept = (bits >> shift) as u64;
    let rest = bits & ((1 << shift) - 1);
    let half = 1 << (shift - 1);
    let up = rest > half || (rest == half && kept & 1 == 1);
    match kept.checked_add(up as u64) {
        Some(mantissa) => (mantissa, exponent + shift as i32),
        None => (1 << 63, exponent + shift as i32 + 1),
    }
}

/// A natural number of any size: 32 bits a place, the lowest first, no zero at the end.
#[derive(Debug, Default)]
struct Natural(Vec<u32>);

impl Natural {
    fn multiply_add(&mut self, factor: u32, addend: u32) {
        let mut carry = addend as u64;
        for place in &mut self.0 {
            let product = *place as u64 * factor as u64 + carry;
            *place = product as u32;
            carry = product >> 32;
        }
        if carry != 0 {
            self.0.push(carry as u32);
        }
    }

    fn bits(&self) -> usize {
        self.0
            .last()
            .map_or(0, |top| self.0.len() * 32 - top.leading_zeros() as usize)
    }

    fn shift_left(&mut self, bits: usize) {
        let (places, rest) = (bits / 32, bits % 32);
        if rest > 0 {
            self.multiply_add(1 << rest, 0);
        }
        self.0.splice(0..0, std::iter::repeat_n(0, places));
    }

    /// The quotient, and whether nothing remains. Bit by bit: the quotient is of about 66 bits.
    fn divide(mut self, divisor: &Natural) -> (Natural, bool) {
        let mut quotient = Natural::default();
        let steps = (self.bits() + 1).saturating_sub(divisor.bits());
        let mut shifted = Natural(divisor.0.clone());
        shifted.shift_left(steps.saturating_sub(1));
        for _ in 0..steps {
            let fits = self.at_least(&shifted);
            if fits {
                self.subtract(&shifted);
            }
            quotient.multiply_add(2, fits as u32);
            shifted.halve();
        }
        (quotient, self.0.is_empty())
    }

    fn at_least(&self, other: &Natural) -> bool {
        let ordering = self.0.len().cmp(&other.0.len());
        ordering
            .then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
            .is_ge()
    }

    /// Takes away `other`, which is not larger.
    fn subtract(&mut self, other: &Natural) {
        let mut borrow = false;
        for (index, place) in self.0.iter_mut().enumerate() {
            let (rest, first) = place.overflowing_sub(other.0.get(index).copied().unwrap_or(0));
            let (rest, second) = rest.overflowing_sub(borrow as u32);
            *place = rest;
            borrow = first || second;
        }
        self.trim();
    }

    fn halve(&mut self) {
        let mut carry = 0;
        for place in self.0.iter_mut().rev() {
            let low = *place & 1;
            *place = *place >> 1 | carry << 31;
            carry = low;
        }
        self.trim();
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    /// Rounds `self * 2^exponent` to 64 bits, half to even. Not zero.
    fn round(&self, exponent: i32) -> (u64, i32) {
        let places = self.0.len();
        let top = &self.0[places.saturating_sub(4)..];
        let bits = top
            .iter()
            .rev()
            .fold(0u128, |bits, place| bits << 32 | *place as u128);
        let below = &self.0[..places - top.len()];
        let sticky = below.iter().any(|place| *place != 0);
        round(bits | sticky as u128, exponent + below.len() as i32 * 32)
    }

    /// In decimal.
    fn print(mut self) -> String {
        let mut groups = Vec::new();
        self.trim();
        while !self.0.is_empty() {
            let mut rest = 0u64;
            for place in self.0.iter_mut().rev() {
                let dividend = rest << 32 | *place as u64;
                *place = (dividend / 1_000_000_000) as u32;
                rest = dividend % 1_000_000_000;
            }
            groups.push(rest);
            self.trim();
        }
        let mut text = groups.pop().unwrap_or(0).to_string();
        for group in groups.iter().rev() {
            text.push_str(&format!("{group:09}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(a: &str, b: &str) -> String {
        let parse = |text: &str| Extended::parse(text.as_bytes()).unwrap();
        parse(a).add(parse(b)).unwrap().print()
    }

    #[test]
    fn sums_as_redis_documents_them() {
        assert_eq!(sum("10.50", "0.1"), "10.6");
        assert_eq!(sum("10.6", "-5"), "5.6");
        assert_eq!(sum("5.0e3", "2.0e2"), "5200");
        assert_eq!(sum("3.0e3", "0"), "3000");
        assert_eq!(sum("1", "-1"), "0");
        assert_eq!(sum("-0.5", "0"), "-0.5");
        assert_eq!(sum("0", "-0"), "0");
        assert_eq!(sum("1e-20", "0"), "0");
        assert_eq!(sum("-1e-20", "0"), "0");
    }

    #[test]
    fn sixty_four_bits_are_kept_and_no_more() {
        assert_eq!(sum("18446744073709551615", "0"), "18446744073709551615");
        // Halfway between two numbers of 64 bits: to the even one.
        assert_eq!(sum("18446744073709551615", "1.5"), "18446744073709551616");
        assert_eq!(sum("18446744073709551616", "1"), "18446744073709551616");
        assert_eq!(sum("18446744073709551616", "3"), "18446744073709551620");
        assert_eq!(sum("1e30", "0"), "1000000000000000000024696061952");
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for bad in [
            "", "-", ".", "e5", "1e", "1e+", "nan", " 1", "1 ", "1.2.3", "1x", "1e5000", "1e-5000",
        ] {
            assert_eq!(Extended::parse(bad.as_bytes()), None, "{bad}");
        }
        let infinite = Extended::parse(b"-inf").unwrap();
        assert!(!infinite.is_finite());
        assert_eq!(infinite.add(Extended::parse(b"+inf").unwrap()), None);
        let largest = Extended::parse(b"1.18e4932").unwrap();
        assert!(!largest.add(largest).unwrap().is_finite());
        assert_eq!(largest.print().len(), 4933);
    }
}
