//! Merkle tree of RFC 6962 over the exact bytes of the entries, with its proofs.

use crate::domain::{Digest, DigestContext};

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index or the sizes make no sense together.
    #[error("the proof is about a position outside the tree")]
    Range,
    /// Too few or too many hashes.
    #[error("the proof has the wrong number of hashes")]
    Length,
    /// The hashes lead to another root.
    #[error("the proof leads to another root")]
    Mismatch,
}

/// Hash of a leaf: SHA-256 over 0x00 and the bytes (RFC 6962, section 2.1).
pub fn leaf_hash(bytes: &[u8]) -> Digest {
    let mut context = DigestContext::new();
    context.update(&[0]);
    context.update(bytes);
    context.finish()
}

/// Hash of a node: SHA-256 over 0x01 and both children (RFC 6962, section 2.1).
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut context = DigestContext::new();
    context.update(&[1]);
    context.update(&left.0);
    context.update(&right.0);
    context.finish()
}

/// An RFC 6962 Merkle tree that grows leaf by leaf. Keeps every leaf's hash, so that it can prove any prefix of itself.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    leaves: Vec<Digest>,
    // Roots of the full subtrees from left to right; their sizes are the one bits of the number of leaves.
    peaks: Vec<Digest>,
    // Roots of all full subtrees of 2^KEPT leaves, of 2^(KEPT + 1), and so on: a proof then hashes hundreds of leaves, not all.
    kept: Vec<Vec<Digest>>,
}

/// Smallest subtree whose root is kept, as a power of two.
const KEPT: u32 = 8;

impl Tree {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a leaf.
    pub fn push(&mut self, bytes: &[u8]) {
        self.push_leaf(leaf_hash(bytes));
    }

    /// Appends a leaf by its hash.
    pub(super) fn push_leaf(&mut self, leaf: Digest) {
        let mut size = self.leaves.len();
        let (mut node, mut level) = (leaf, 0_u32);
        while size & 1 == 1 {
            let Some(left) = self.peaks.pop() else { break };
            node = node_hash(&left, &node);
            size >>= 1;
            level += 1;
            if let Some(place) = level.checked_sub(KEPT) {
                let place = place as usize;
                if self.kept.len() == place {
                    self.kept.push(Vec::new());
                }
                self.kept[place].push(node);
            }
        }
        self.peaks.push(node);
        self.leaves.push(leaf);
    }

    /// Hash of a leaf; `None` beyond the end.
    pub fn leaf(&self, index: u64) -> Option<&Digest> {
        self.leaves.get(usize::try_from(index).ok()?)
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    /// Root over all leaves; the hash of nothing for an empty tree.
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return Digest::of(b"") };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }

    /// Root over the first `size` leaves; `None` if there are fewer.
    pub fn root_at(&self, size: u64) -> Option<Digest> {
        Some(self.node(0, self.within(size)?))
    }

    /// Hashes that prove leaf `index` to be in the tree of the first `size` leaves (RFC 6962, section 2.1.1).
    pub fn inclusion(&self, index: u64, size: u64) -> Option<Vec<Digest>> {
        let size = self.within(size)?;
        let index = usize::try_from(index).ok().filter(|index| *index < size)?;
        let mut proof = Vec::new();
        self.path(index, 0, size, &mut proof);
        Some(proof)
    }

    /// Hashes that prove the tree of the first `old` leaves to be a prefix of that of the first `new` (RFC 6962, section 2.1.2).
    pub fn consistency(&self, old: u64, new: u64) -> Option<Vec<Digest>> {
        let new = self.within(new)?;
        let old = usize::try_from(old).ok().filter(|old| *old > 0 && *old <= new)?;
        let mut proof = Vec::new();
        self.subproof(old, 0, new, true, &mut proof);
        Some(proof)
    }

    fn within(&self, size: u64) -> Option<usize> {
        usize::try_from(size).ok().filter(|size| *size <= self.leaves.len())
    }

    /// Root over `count` leaves from `start` on.
    fn node(&self, start: usize, count: usize) -> Digest {
        if let Some(kept) = self.kept_node(start, count) {
            return kept;
        }
        match count {
            0 => Digest::of(b""),
            1 => self.leaves[start],
            _ => {
                let left = split(count);
                node_hash(&self.node(start, left), &self.node(start + left, count - left))
            }
        }
    }

    fn kept_node(&self, start: usize, count: usize) -> Option<Digest> {
        let full = count.is_power_of_two() && start.is_multiple_of(count);
        let place = full.then(|| count.trailing_zeros().checked_sub(KEPT))??;
        self.kept.get(place as usize)?.get(start / count).copied()
    }

    fn path(&self, index: usize, start: usize, count: usize, proof: &mut Vec<Digest>) {
        if count < 2 {
            return;
        }
        let left = split(count);
        if index < left {
            self.path(index, start, left, proof);
            proof.push(self.node(start + left, count - left));
        } else {
            self.path(index - left, start + left, count - left, proof);
            proof.push(self.node(start, left));
        }
    }

    fn subproof(&self, old: usize, start: usize, count: usize, whole: bool, proof: &mut Vec<Digest>) {
        if old == count {
            if !whole {
                proof.push(self.node(start, count));
            }
            return;
        }
        let left = split(count);
        if old <= left {
            self.subproof(old, start, left, whole, proof);
            proof.push(self.node(start + left, count - left));
        } else {
            self.subproof(old - left, start + left, count - left, false, proof);
            proof.push(self.node(start, left));
        }
    }
}

/// Largest power of two below `size` (at least 2).
fn split(size: usize) -> usize {
    1 << (usize::BITS - 1 - (size - 1).leading_zeros())
}

/// Verifies an inclusion proof (RFC 9162, section 2.1.3.2).
pub fn verify_inclusion(
    leaf: &Digest,
    index: u64,
    size: u64,
    proof: &[Digest],
    root: &Digest,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Range);
    }
    let (mut place, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for step in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if place & 1 == 1 || place == last {
            hash = node_hash(step, &hash);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, step);
        }
        place >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if hash == *root { Ok(()) } else { Err(ProofError::Mismatch) }
}

/// Verifies a consistency proof between two roots (RFC 9162, section 2.1.4.2).
pub fn verify_consistency(old: (u64, &Digest), new: (u64, &Digest), proof: &[Digest]) -> Result<(), ProofError> {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size == 0 || old_size > new_size {
        return Err(ProofError::Range);
    }
    if old_size == new_size {
        return match (proof.is_empty(), old_root == new_root) {
            (false, _) => Err(ProofError::Length),
            (true, false) => Err(ProofError::Mismatch),
            (true, true) => Ok(()),
        };
    }
    // The root of a full old tree is its own first hash, and left out of the proof.
    let (first, rest) = if old_size.is_power_of_two() {
        (old_root, proof)
    } else {
        let (first, rest) = proof.split_first().ok_or(ProofError::Length)?;
        (first, rest)
    };
    let (mut place, mut last) = (old_size - 1, new_size - 1);
    while place & 1 == 1 {
        place >>= 1;
        last >>= 1;
    }
    let (mut old_hash, mut new_hash) = (*first, *first);
    for step in rest {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if place & 1 == 1 || place == last {
            old_hash = node_hash(step, &old_hash);
            new_hash = node_hash(step, &new_hash);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, step);
        }
        place >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if old_hash == *old_root && new_hash == *new_root { Ok(()) } else { Err(ProofError::Mismatch) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Leaves and roots of the Certificate Transparency reference tree.
    const LEAVES: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn tree(size: usize) -> Tree {
        let mut tree = Tree::new();
        for leaf in LEAVES.iter().take(size) {
            tree.push(&hex::decode(leaf).unwrap());
        }
        tree
    }

    #[test]
    fn roots_are_those_of_the_reference_tree() {
        assert_eq!(Tree::new().root().to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        for (size, root) in (1..).zip(ROOTS) {
            assert_eq!(tree(size).root().to_string(), root, "size {size}");
            assert_eq!(tree(8).root_at(size as u64).unwrap().to_string(), root, "prefix {size}");
        }
    }

    #[test]
    fn proofs_are_those_of_the_reference_tree() {
        let tree = tree(8);
        let inclusion = tree.inclusion(5, 8).unwrap();
        assert_eq!(
            inclusion.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ]
        );
        let consistency = tree.consistency(6, 8).unwrap();
        assert_eq!(
            consistency.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ]
        );
        assert!(tree.inclusion(8, 8).is_none());
        assert!(tree.inclusion(0, 9).is_none());
        assert!(tree.consistency(0, 8).is_none());
        assert!(tree.consistency(3, 9).is_none());
    }

    #[test]
    fn kept_subtrees_change_no_root_and_no_proof() {
        // RFC 6962, section 2.1, word for word.
        fn plain(leaves: &[Digest]) -> Digest {
            let [leaf] = leaves else {
                let (left, right) = leaves.split_at(split(leaves.len()));
                return node_hash(&plain(left), &plain(right));
            };
            *leaf
        }
        let leaves: Vec<Digest> = (0..3000_u32).map(|number| leaf_hash(&number.to_be_bytes())).collect();
        let mut tree = Tree::new();
        for leaf in &leaves {
            tree.push_leaf(*leaf);
        }
        assert_eq!(tree.kept.iter().map(Vec::len).collect::<Vec<_>>(), [11, 5, 2, 1]);
        for count in [256, 512, 1024, 2048] {
            for start in (0..=leaves.len() - count).step_by(count) {
                assert_eq!(tree.kept_node(start, count), Some(plain(&leaves[start..start + count])), "{start} {count}");
            }
        }
        assert_eq!((tree.kept_node(128, 256), tree.kept_node(0, 128), tree.kept_node(0, 300)), (None, None, None));
        assert_eq!(tree.root_at(0), Some(Digest::of(b"")));
        for size in [1, 255, 256, 257, 511, 512, 513, 1024, 1025, 2047, 2048, 2049, 2816, 3000] {
            let root = plain(&leaves[..size]);
            let size = size as u64;
            assert_eq!(tree.root_at(size), Some(root), "{size}");
            for index in [0, size / 3, size / 2, size - 1] {
                let proof = tree.inclusion(index, size).unwrap();
                assert_eq!(verify_inclusion(tree.leaf(index).unwrap(), index, size, &proof, &root), Ok(()));
                let old = index + 1;
                let proof = tree.consistency(old, size).unwrap();
                assert_eq!(verify_consistency((old, &tree.root_at(old).unwrap()), (size, &root), &proof), Ok(()));
            }
        }
    }

    #[test]
    fn proofs_about_nothing_are_refused() {
        let root = Digest::of(b"");
        assert_eq!(verify_inclusion(&root, 0, 0, &[], &root), Err(ProofError::Range));
        assert_eq!(verify_consistency((0, &root), (1, &root), &[]), Err(ProofError::Range));
        assert_eq!(verify_consistency((2, &root), (1, &root), &[]), Err(ProofError::Range));
        assert_eq!(verify_consistency((1, &root), (1, &root), &[root]), Err(ProofError::Length));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_proof_holds_and_no_changed_one_does(
            size in 1usize..70, index in 0usize..70, old in 1usize..70, damage in 0usize..8, bit in 0u8..8,
        ) {
            let (index, old) = (index % size, old % size + 1);
            let mut tree = Tree::new();
            for number in 0..size {
                tree.push(&number.to_be_bytes());
            }
            let (size, index, old) = (size as u64, index as u64, old as u64);
            let root = tree.root();
            let leaf = leaf_hash(&usize::try_from(index).unwrap().to_be_bytes());
            let proof = tree.inclusion(index, size).unwrap();
            prop_assert_eq!(verify_inclusion(&leaf, index, size, &proof, &root), Ok(()));
            prop_assert!(verify_inclusion(&root, index, size, &proof, &root).is_err() || size == 1);
            if size > 1 {
                let other = (index + 1) % size;
                prop_assert!(verify_inclusion(&leaf, other, size, &proof, &root).is_err());
            }
            let old_root = tree.root_at(old).unwrap();
            let between = tree.consistency(old, size).unwrap();
            prop_assert_eq!(verify_consistency((old, &old_root), (size, &root), &between), Ok(()));
            for given in [&proof, &between] {
                if given.is_empty() {
                    continue;
                }
                let mut changed = given.clone();
                let place = damage % changed.len();
                changed[place].0[damage] ^= 1 << bit;
                let short = &given[1..];
                let mut long = given.clone();
                long.push(root);
                for bad in [changed.as_slice(), short, long.as_slice()] {
                    if std::ptr::eq(given, &raw const proof) {
                        prop_assert!(verify_inclusion(&leaf, index, size, bad, &root).is_err());
                    } else {
                        prop_assert!(verify_consistency((old, &old_root), (size, &root), bad).is_err());
                    }
                }
            }
        }
    }
}
