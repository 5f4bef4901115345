use super::decimal::Decimal;

/// A trade in [`SIZE`] bytes: what the checks over several rows need of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Record {
    /// When it happened, in milliseconds; [`NO_TIME`] if that can't be read.
    pub time: i64,
    /// When the row was made.
    pub created: i64,
    /// When it was last changed.
    pub updated: i64,
    /// The id, where ids are whole numbers, else where the id lies among the texts of ids.
    pub id: i64,
    /// Number of the account's name.
    pub account: u32,
    /// Of the key.
    pub key: u32,
    /// Of the instrument.
    pub instrument: u32,
    /// Of the counterparty.
    pub counterparty: u32,
    /// Of the destination.
    pub destination: u32,
    /// Of the address.
    pub ip: u32,
    /// Hash of the order.
    pub order: u64,
    /// Quantity.
    pub quantity: Decimal,
    /// Price.
    pub price: Decimal,
    /// Value.
    pub value: Decimal,
    /// What it was worth in the one money of all trades, where a column says so.
    pub worth: Decimal,
    /// See [`Side`].
    pub side: Side,
    /// Transaction that wrote the row (`PostgreSQL`), 0 elsewhere.
    pub xmin: u32,
}

/// Which way a trade went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Side {
    /// Not said, or in unknown words.
    #[default]
    Unknown,
    /// The account bought.
    Buy,
    /// The account sold.
    Sell,
}

impl Side {
    /// Words for buying, in lower case.
    pub const BUY: [&str; 22] = [
        "buy",
        "long",
        "bid",
        "b",
        "true",
        "t",
        "1",
        "bought",
        "open_long",
        "purchase",
        "kauf",
        "compra",
        "achat",
        "acquisto",
        "buy_to_open",
        "buy_to_close",
        "bto",
        "close_short",
        "buy_to_cover",
        "buytocover",
        "cover",
        // Betting exchanges back an outcome or lay it.
        "back",
    ];
    /// Words for selling, in lower case.
    pub const SELL: [&str; 27] = [
        "sell",
        "short",
        "ask",
        "s",
        "false",
        "f",
        "0",
        "-1",
        "sold",
        "sale",
        "offer",
        "verkauf",
        "venta",
        "venda",
        "vente",
        "vendita",
        // FIX writes 1 and 2.
        "2",
        "sell_to_open",
        "sell_to_close",
        "sto",
        "stc",
        "close_long",
        "sell_short",
        "sellshort",
        "short_sell",
        "sell_short_exempt",
        "lay",
    ];

    /// Reads the usual words.
    pub fn read(text: Option<&[u8]>) -> Self {
        let Some(text) = text else { return Self::Unknown };
        // What Prisma's own enumerations hold, before the longer list.
        match text {
            b"BUY" => return Self::Buy,
            b"SELL" => return Self::Sell,
            _ => {}
        }
        let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word.as_bytes()));
        if is(&Self::BUY) {
            Self::Buy
        } else if is(&Self::SELL) {
            Self::Sell
        } else {
            Self::Unknown
        }
    }

    /// The other side.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Unknown => Self::Unknown,
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    fn byte(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Buy => 1,
            Self::Sell => 2,
        }
    }
}

/// A row whose time can't be read.
pub const NO_TIME: i64 = i64::MIN;
/// Bytes of a record.
pub const SIZE: usize = 32 + 24 + 8 + 40 + 1 + 4;

/// Reads numbers from bytes one after the other.
pub(super) struct Bytes<'a>(pub &'a [u8]);

impl Bytes<'_> {
    pub(super) fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_first_chunk::<N>().map_or(([0; N], &[][..]), |(head, rest)| (*head, rest));
        self.0 = rest;
        head
    }

    pub(super) fn decimal(&mut self) -> Decimal {
        let mantissa = i64::from_le_bytes(self.take());
        let [places, kind] = self.take();
        Decimal::unpack(mantissa, places.cast_signed(), kind)
    }
}

pub(super) fn write_decimal(bytes: &mut Vec<u8>, decimal: Decimal) {
    let (mantissa, places, kind) = decimal.pack();
    bytes.extend_from_slice(&mantissa.to_le_bytes());
    bytes.extend_from_slice(&[places.cast_unsigned(), kind]);
}

impl Record {
    /// Appends its bytes.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        for number in [self.time, self.created, self.updated, self.id] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.account, self.key, self.instrument, self.counterparty, self.destination, self.ip] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.order.to_le_bytes());
        for number in [self.quantity, self.price, self.value, self.worth] {
            write_decimal(bytes, number);
        }
        bytes.push(self.side.byte());
        bytes.extend_from_slice(&self.xmin.to_le_bytes());
    }

    /// Reads the bytes that [`Self::write`] wrote.
    pub fn read(bytes: &[u8]) -> Self {
        let mut bytes = Bytes(bytes);
        let [time, created, updated, id] = [(); 4].map(|()| i64::from_le_bytes(bytes.take()));
        let [account, key, instrument, counterparty, destination, ip] =
            [(); 6].map(|()| u32::from_le_bytes(bytes.take()));
        let order = u64::from_le_bytes(bytes.take());
        let [quantity, price, value, worth] = [(); 4].map(|()| bytes.decimal());
        let side = match bytes.take::<1>() {
            [1] => Side::Buy,
            [2] => Side::Sell,
            _ => Side::Unknown,
        };
        let xmin = u32::from_le_bytes(bytes.take());
        Self {
            time,
            created,
            updated,
            id,
            account,
            key,
            instrument,
            counterparty,
            destination,
            ip,
            order,
            quantity,
            price,
            value,
            worth,
            side,
            xmin,
        }
    }

    /// Only what any row has: when it was made and changed, and by which transaction.
    #[must_use]
    pub fn of_no_trade(self) -> Self {
        let Self { time, created, updated, id, order, xmin, .. } = self;
        Self { time, created, updated, id, order, xmin, ..Self::default() }
    }

    /// What the trade is worth as a whole number of `10^-18`, without sign.
    pub fn worth(&self) -> Option<i128> {
        match (self.worth, self.value) {
            (Decimal::Null, Decimal::Null) => self.quantity.times(self.price).map(i128::abs),
            (Decimal::Null, value) | (value, _) => value.fixed().map(i128::abs),
        }
    }

    /// The same, as a binary float.
    pub fn approximate_worth(&self) -> Option<f64> {
        match (self.worth, self.value) {
            (Decimal::Null, Decimal::Null) => Some((self.quantity.approximate()? * self.price.approximate()?).abs()),
            (Decimal::Null, value) | (value, _) => value.approximate().map(f64::abs),
        }
    }

    /// Quantity with the sign of the side; `None` where neither says.
    pub fn signed_quantity(&self) -> Option<i128> {
        let quantity = self.quantity.fixed()?;
        match self.side {
            Side::Buy => Some(quantity.abs()),
            Side::Sell => Some(-quantity.abs()),
            Side::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_of_options_are_read() {
        for (text, side) in [
            ("BUY_TO_CLOSE", Side::Buy),
            ("sell_to_open", Side::Sell),
            ("STC", Side::Sell),
            ("SELL_SHORT", Side::Sell),
            ("buy_to_cover", Side::Buy),
            ("Lay", Side::Sell),
            ("btc", Side::Unknown),
            ("Venta", Side::Sell),
            ("1", Side::Buy),
            ("2", Side::Sell),
        ] {
            assert_eq!(Side::read(Some(text.as_bytes())), side, "{text}");
        }
    }

    #[test]
    fn what_a_trade_is_worth_in_one_money_comes_before_its_value() {
        let number = |number: i64| Decimal::Finite(number, 0);
        let mut record = Record { quantity: number(2), price: number(-3), ..Record::default() };
        let worth = |record: &Record| (record.worth().map(|worth| worth / 10_i128.pow(18)), record.approximate_worth());
        assert_eq!(worth(&record), (Some(6), Some(6.0)));
        record.value = number(-7);
        assert_eq!(worth(&record), (Some(7), Some(7.0)));
        record.worth = number(-9);
        assert_eq!(worth(&record), (Some(9), Some(9.0)));
    }

    #[test]
    fn bytes_give_the_same_record() {
        let record = Record {
            time: -5,
            created: 7,
            updated: NO_TIME,
            id: i64::MAX,
            account: 1,
            key: 2,
            instrument: 3,
            counterparty: 4,
            destination: 5,
            ip: u32::MAX,
            order: u64::MAX,
            quantity: Decimal::Finite(-15, 1),
            price: Decimal::Long(i64::MAX, -47),
            value: Decimal::Infinite,
            worth: Decimal::Finite(7, 0),
            side: Side::Sell,
            xmin: 9,
        };
        let mut bytes = Vec::new();
        record.write(&mut bytes);
        assert_eq!(bytes.len(), SIZE);
        assert_eq!(Record::read(&bytes), record);
        assert_eq!(Record::read(&[]).side, Side::Unknown);
    }
}
