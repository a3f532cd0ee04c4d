//! Which operators of a stage TensorRT's parser takes.

use serde::{Serialize, Serializer};

use super::error::{Failure, Place};

/// What the parser made of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Support {
    /// Its operators.
    pub operators: Vec<OperatorSupport>,
    /// What it refused: nothing, where it takes the whole graph.
    pub failures: Vec<Failure>,
}

/// One operator of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OperatorSupport {
    /// ONNX operator.
    pub op: String,
    /// Nodes of it.
    pub count: usize,
    /// What the parser made of them.
    pub verdict: Verdict,
    /// The first node that is refused, and TensorRT's words.
    pub failure: Option<String>,
}

/// What the parser made of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It took all nodes.
    Supported,
    /// It refused one.
    Refused,
    /// It stopped at another operator before it had seen them all.
    NotReached,
}

impl Verdict {
    /// In a word or two.
    pub fn word(self) -> &'static str {
        match self {
            Self::Supported => "supported",
            Self::Refused => "refused",
            Self::NotReached => "not reached",
        }
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// The operators of a graph in the order of their first nodes. The parser goes through `nodes` in order and stops at
/// the first that it refuses; a failure that names no node leaves all of them not reached.
#[cfg_attr(
    not(any(feature = "tensorrt-rtx", feature = "tensorrt", test)),
    expect(dead_code, reason = "needs a parser")
)]
pub(super) fn table(nodes: &[Place], failures: &[Failure]) -> Vec<OperatorSupport> {
    let refused = |node: &Place| failures.iter().find(|f| f.node.as_ref() == Some(node));
    let stop = match failures {
        [] => nodes.len(),
        _ => nodes.iter().position(|n| refused(n).is_some()).unwrap_or(0),
    };
    let mut table: Vec<OperatorSupport> = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        let index = table.iter().position(|row| row.op == node.op);
        let index = index.unwrap_or_else(|| {
            table.push(OperatorSupport {
                op: node.op.clone(),
                count: 0,
                verdict: Verdict::Supported,
                failure: None,
            });
            table.len() - 1
        });
        let row = &mut table[index];
        row.count += 1;
        if let Some(failure) = refused(node) {
            row.verdict = Verdict::Refused;
            row.failure.get_or_insert_with(|| failure.to_string());
        } else if at > stop && row.verdict == Verdict::Supported {
            row.verdict = Verdict::NotReached;
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_after_a_refused_node_were_not_seen() {
        let nodes = [
            ("a/Add", "Add"),
            ("a/Foo", "Foo"),
            ("a/Add_1", "Add"),
            ("a/Mul", "Mul"),
        ];
        let nodes = nodes.map(|(name, op)| Place {
            name: name.into(),
            op: op.into(),
        });
        let verdicts = |failures: &[Failure]| {
            let rows = table(&nodes, failures).into_iter();
            rows.map(|r| (r.op, r.count, r.verdict)).collect::<Vec<_>>()
        };
        use Verdict::{NotReached, Refused, Supported};
        let row = |op: &str, count, verdict| (op.to_owned(), count, verdict);
        assert_eq!(
            verdicts(&[]),
            [
                row("Add", 2, Supported),
                row("Foo", 1, Supported),
                row("Mul", 1, Supported)
            ]
        );
        let failure = Failure {
            node: Some(nodes[1].clone()),
            message: "no".into(),
        };
        assert_eq!(
            verdicts(&[failure]),
            [
                row("Add", 2, NotReached),
                row("Foo", 1, Refused),
                row("Mul", 1, NotReached)
            ]
        );
    }
}
