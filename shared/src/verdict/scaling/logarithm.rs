//! x → ln(1 + x), four at a time: defines [`Transform::Log1p`](super::Transform::Log1p). Only IEEE 754 single
//! operations, so the bits are the same on every processor, with and without vector instructions.

use wide::{f32x4, i32x4, u32x4};

/// ln(1 + x) for x from 0 to infinity, within 10⁻⁷ plus one part in 4 million. Infinity counts as 2¹²⁸.
///
/// 1 + x = 2ᵏ · m with m from √½ to √2, and ln m = 2 artanh s with s = (m − 1) / (m + 1), |s| < 0.172: an odd
/// polynomial of degree 5 (the form of FreeBSD's `e_logf.c`; minimax coefficients, error 3.5 · 10⁻⁸). The rounding
/// error of 1 + x is not corrected: the finest quantum that training produces, 0.175 / 32, is 50,000 times as large.
#[inline(always)]
pub(super) fn log1p(x: f32x4) -> f32x4 {
    // The bits of 1 and of √½.
    const ONE: u32 = 0x3f80_0000;
    const HALF_ROOT: u32 = 0x3f35_04f3;
    const CUBIC: f32 = 0.666_534_3;
    const QUINTIC: f32 = 0.412_874_04;
    let one = f32x4::ONE;
    let shifted = bytemuck::cast::<f32x4, u32x4>(x + one) + u32x4::splat(ONE - HALF_ROOT);
    let exponent = bytemuck::cast::<u32x4, i32x4>(shifted >> 23) - i32x4::splat(127);
    let mantissa = (shifted & u32x4::splat(0x007f_ffff)) + u32x4::splat(HALF_ROOT);
    let mantissa: f32x4 = bytemuck::cast(mantissa);
    let s = (mantissa - one) / (mantissa + one);
    let z = s * s;
    let polynomial = (z * f32x4::splat(QUINTIC) + f32x4::splat(CUBIC)) * z + f32x4::splat(2.0);
    s * polynomial + f32x4::from_i32x4(exponent) * f32x4::splat(core::f32::consts::LN_2)
}

#[cfg(test)]
mod tests {
    use super::log1p;
    use wide::f32x4;

    fn of(x: f32) -> f32 {
        log1p(f32x4::splat(x)).to_array()[0]
    }

    fn compare(every: usize) {
        let mut before = 0.0;
        for bits in (0..=0x7f7f_ffff_u32).step_by(every) {
            let x = f32::from_bits(bits);
            let exact = libm::log1p(f64::from(x));
            let ours = of(x);
            assert!((f64::from(ours) - exact).abs() <= 1e-7 + exact / 4e6, "ln(1 + {x:e}) is {exact}, not {ours}");
            assert!(ours >= before - 1.2e-7 * before, "not above its neighbour at {x:e}");
            before = ours;
        }
    }

    #[test]
    fn log1p_is_accurate() {
        compare(1021);
    }

    #[test]
    #[ignore = "takes a minute"]
    fn log1p_is_accurate_for_every_number() {
        compare(1);
    }

    #[test]
    fn zero_maps_to_zero_and_infinity_to_the_maximum() {
        assert_eq!(of(0.0).to_bits(), 0);
        assert_eq!(of(1e-9), 0.0);
        let largest = of(f32::INFINITY);
        assert!((largest - 128.0 * core::f32::consts::LN_2).abs() < 1e-4 && largest >= of(f32::MAX));
    }

    #[test]
    fn lanes_are_independent() {
        let x = [0.0, 1.0, 1500.0, f32::INFINITY];
        let each = x.map(of);
        assert_eq!(log1p(f32x4::new(x)).to_array(), each);
    }
}
