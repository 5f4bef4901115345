//! Which Ed25519 public keys may be trusted at all. A verification alone does not say so: for a point of small order anybody can
//! make signatures that verify.

/// Whether the point has small order: y is 0, 1, -1, one of the two values of order 8, or 0 or 1 not reduced.
/// Both signs of x are covered. The values follow from the curve's equation (RFC 8032, section 5.1).
pub fn is_weak(point: &[u8; 32]) -> bool {
    const ORDER_8: [&str; 2] = [
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ];
    let mut y = *point;
    y[31] &= 0x7f;
    let middle = |value: u8| y[1..31].iter().all(|byte| *byte == value);
    let small = y[0] <= 1 && y[31] == 0 && middle(0);
    let near_p = (0xec..=0xee).contains(&y[0]) && y[31] == 0x7f && middle(0xff);
    small || near_p || ORDER_8.contains(&hex::encode(y).as_str())
}

/// Whether y is below the field's prime, 2^255 - 19: a point has one spelling (RFC 8032, section 5.1.3).
pub fn is_reduced(point: &[u8; 32]) -> bool {
    let top = point[31] & 0x7f == 0x7f && point[1..31].iter().all(|byte| *byte == 0xff);
    !(top && point[0] >= 0xed)
}
