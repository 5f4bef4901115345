/// A number with what it counts: `1 address`, `2 addresses`.
pub fn counted<N>(number: N, one: &str, many: &str) -> String
where
    N: TryInto<u64> + std::fmt::Display + Copy,
{
    let what = if number.try_into().is_ok_and(|number| number == 1) { one } else { many };
    format!("{number} {what}")
}
