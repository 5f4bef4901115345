//! Trades that name an order, and orders, as they are kept on disk until they are joined.

use super::decimal::Decimal;
use super::names::{NONE, Reader};
use super::plan::Layout;
use super::record::{Bytes, NO_TIME, Record, Side, write_decimal};
use super::reference::at_all;
use super::roles::Role;
use super::row::{decimal, moment_of};
use crate::domain::RawRow;

/// Bytes of a [`Claim`].
pub const CLAIM: usize = 8 + 8 + 8 + 4 + 4 + 1 + 10 + 10 + 1;
/// Bytes of an [`Order`].
pub const ORDER: usize = 8 + 8 + 8 + 4 + 4 + 1 + 10 + 10 + 10 + 1;

/// A trade that names an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Hash of the order's id.
    pub order: u64,
    /// The row's id, as [`Record::id`] holds it.
    pub id: i64,
    /// When the trade happened.
    pub time: i64,
    /// Number of the account.
    pub account: u32,
    /// Number of the instrument.
    pub instrument: u32,
    /// Side.
    pub side: Side,
    /// Quantity.
    pub quantity: Decimal,
    /// Price.
    pub price: Decimal,
    /// It did not take place, or was undone: nothing of the order was traded by it.
    pub void: bool,
}

impl Claim {
    /// Of a record; of its other side, if `counter` is that side's order.
    pub fn new(record: &Record, counter: Option<u64>, void: bool) -> Self {
        Self {
            order: counter.unwrap_or(record.order),
            id: record.id,
            time: record.time,
            account: if counter.is_some() { record.counterparty } else { record.account },
            instrument: record.instrument,
            side: if counter.is_some() { Side::Unknown } else { record.side },
            quantity: record.quantity,
            price: record.price,
            void,
        }
    }

    /// Whatever was traded.
    #[must_use]
    pub fn of_any_instrument(self) -> Self {
        Self { instrument: NONE, ..self }
    }

    /// Appends its bytes.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.order.to_le_bytes());
        bytes.extend_from_slice(&self.id.to_le_bytes());
        bytes.extend_from_slice(&self.time.to_le_bytes());
        bytes.extend_from_slice(&self.account.to_le_bytes());
        bytes.extend_from_slice(&self.instrument.to_le_bytes());
        bytes.push(self.side as u8);
        write_decimal(bytes, self.quantity);
        write_decimal(bytes, self.price);
        bytes.push(u8::from(self.void));
    }

    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut bytes = Bytes(bytes);
        Self {
            order: u64::from_le_bytes(bytes.take()),
            id: i64::from_le_bytes(bytes.take()),
            time: i64::from_le_bytes(bytes.take()),
            account: u32::from_le_bytes(bytes.take()),
            instrument: u32::from_le_bytes(bytes.take()),
            side: side(bytes.take()),
            quantity: bytes.decimal(),
            price: bytes.decimal(),
            void: bytes.take::<1>() != [0],
        }
    }
}

fn side([byte]: [u8; 1]) -> Side {
    match byte {
        1 => Side::Buy,
        2 => Side::Sell,
        _ => Side::Unknown,
    }
}

/// A row of the order table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Hash of its id.
    pub order: u64,
    /// When it was made.
    pub created: i64,
    /// When it was cancelled or deleted.
    pub ended: i64,
    /// Number of the account.
    pub account: u32,
    /// Number of the instrument.
    pub instrument: u32,
    /// Side.
    pub side: Side,
    /// Quantity.
    pub quantity: Decimal,
    /// How much of it was traded, as the order says.
    pub filled: Decimal,
    /// The price that no trade of it may be worse than.
    pub limit: Decimal,
    /// The policies, a bit each, whose words its status is among.
    pub refused: u8,
}

impl Order {
    /// Roles of the order table that are read.
    pub const ROLES: [Role; 13] = [
        Role::Id,
        Role::Account,
        Role::Instrument,
        Role::Side,
        Role::Quantity,
        Role::Filled,
        Role::LimitPrice,
        Role::Price,
        Role::Status,
        Role::CreatedAt,
        Role::ExecutedAt,
        Role::RevokedAt,
        Role::DeletedAt,
    ];

    /// Reads a row; `None` without an id. What has to be written as text is written into `scratch`.
    pub fn of(
        row: RawRow<'_>,
        layout: &Layout,
        names: &mut Reader,
        refusals: &[(u8, Vec<String>)],
        scratch: &mut Vec<u8>,
    ) -> Option<Self> {
        let place = |role| layout.place(role);
        let order = names.hash(row.text(place(Role::Id)?, scratch)?);
        let account = names.of(place(Role::Account).and_then(|place| row.text(place, scratch)));
        let instrument = if layout.pair {
            names.of_pair(row, [Role::Instrument, Role::Currency].map(place), scratch)
        } else {
            names.of(place(Role::Instrument).and_then(|place| row.text(place, scratch)))
        };
        let side = layout.side(row, scratch);
        let status = place(Role::Status).and_then(|place| row.text(place, scratch));
        let is = |words: &[String]| {
            status.is_some_and(|status| words.iter().any(|word| word.as_bytes().eq_ignore_ascii_case(status)))
        };
        let time = |role| moment_of(row, place(role)?);
        Some(Self {
            order,
            created: time(Role::CreatedAt).unwrap_or(NO_TIME),
            ended: [Role::RevokedAt, Role::DeletedAt]
                .into_iter()
                .filter_map(|role| at_all(time(role)))
                .min()
                .unwrap_or(NO_TIME),
            account,
            instrument,
            side,
            quantity: place(Role::Quantity).map_or(Decimal::Null, |place| decimal(row, place)),
            limit: place(Role::LimitPrice)
                .or_else(|| place(Role::Price))
                .map_or(Decimal::Null, |place| decimal(row, place)),
            filled: place(Role::Filled).map_or(Decimal::Null, |place| decimal(row, place)),
            refused: refusals.iter().filter(|(_, words)| is(words)).fold(0, |bits, (bit, _)| bits | bit),
        })
    }

    /// Appends its bytes.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.order.to_le_bytes());
        bytes.extend_from_slice(&self.created.to_le_bytes());
        bytes.extend_from_slice(&self.ended.to_le_bytes());
        bytes.extend_from_slice(&self.account.to_le_bytes());
        bytes.extend_from_slice(&self.instrument.to_le_bytes());
        bytes.push(self.side as u8);
        write_decimal(bytes, self.quantity);
        write_decimal(bytes, self.filled);
        write_decimal(bytes, self.limit);
        bytes.push(self.refused);
    }

    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut bytes = Bytes(bytes);
        Self {
            order: u64::from_le_bytes(bytes.take()),
            created: i64::from_le_bytes(bytes.take()),
            ended: i64::from_le_bytes(bytes.take()),
            account: u32::from_le_bytes(bytes.take()),
            instrument: u32::from_le_bytes(bytes.take()),
            side: side(bytes.take()),
            quantity: bytes.decimal(),
            filled: bytes.decimal(),
            limit: bytes.decimal(),
            refused: bytes.take::<1>()[0],
        }
    }
}
