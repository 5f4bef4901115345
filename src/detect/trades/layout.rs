use super::record::Side;
use super::roles::{Mapping, Role};
use crate::domain::RawRow;

/// Where each role lies among the columns that are read.
#[derive(Debug, Clone)]
pub struct Layout {
    places: Vec<(Role, u8)>,
    by_role: [Option<u8>; 64],
    /// Columns, in the order in which they are read.
    pub columns: Vec<String>,
    /// Columns of the order table that are read after them.
    pub joined: Vec<String>,
    /// Instruments are told apart by what they are paid with, too.
    pub pair: bool,
    /// The outcome that was bought is part of the instrument.
    pub of_outcomes: bool,
    /// The side says whether the buyer was the maker.
    pub of_the_maker: bool,
    /// Places of the columns that are the id together.
    pub parts: Vec<usize>,
}

impl Layout {
    /// Of these roles, as far as the table has them.
    pub fn new(mapping: &Mapping, roles: &[Role]) -> Self {
        let pair = mapping.is_pair() && roles.contains(&Role::Instrument);
        let mut layout = Self {
            places: Vec::new(),
            by_role: [None; 64],
            columns: Vec::new(),
            joined: Vec::new(),
            pair,
            of_outcomes: mapping.is_of_outcomes(),
            of_the_maker: mapping.side_is_of_the_maker(),
            parts: Vec::new(),
        };
        let asked: Vec<Role> = roles.iter().copied().chain(pair.then_some(Role::Currency)).collect();
        for role in &asked {
            if let Some(column) = mapping.column(*role)
                && layout.add(*role)
            {
                layout.columns.push(column.to_owned());
            }
        }
        for part in mapping.composite.iter().filter(|_| asked.contains(&Role::Id)) {
            layout.parts.push(layout.columns.len());
            layout.columns.push(part.column.clone());
        }
        for role in &asked {
            if let (Some(mapped), None) = (mapping.joined(*role), mapping.column(*role))
                && layout.add(*role)
            {
                layout.joined.push(mapped.column.clone());
            }
        }
        layout
    }

    /// Gives a role the next place; `false` if it has one.
    fn add(&mut self, role: Role) -> bool {
        let next = u8::try_from(self.width());
        let known = self.places.iter().any(|(one, _)| *one == role);
        let (Ok(place), false) = (next, known) else { return false };
        self.places.push((role, place));
        self.by_role[role as usize] = Some(place);
        true
    }

    /// Cells of a row, but for the transaction that wrote it.
    pub fn width(&self) -> usize {
        self.columns.len() + self.joined.len()
    }

    /// Which way a row went.
    pub fn side(&self, row: RawRow<'_>, scratch: &mut Vec<u8>) -> Side {
        let side = Side::read(self.place(Role::Side).and_then(|place| row.text(place, scratch)));
        if self.of_the_maker { side.other() } else { side }
    }

    /// Place of a role.
    pub fn place(&self, role: Role) -> Option<usize> {
        self.by_role[role as usize].map(usize::from)
    }
}
