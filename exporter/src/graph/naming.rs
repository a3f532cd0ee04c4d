//! Names of nodes and values: module scopes and running numbers.

use super::Graph;

impl Graph {
    /// An empty graph of the same name and operator set, for a pass to fill: what it names anew never has a name of this
    /// one.
    #[must_use]
    pub fn successor(&self) -> Self {
        let mut new = Self::new(&self.name);
        new.opset = self.opset;
        let nodes = self.nodes.iter().map(|n| &n.name);
        let initializers = self
            .initializers
            .iter()
            .map(|i| &self.specs[i.value.0].name);
        for name in nodes.chain(initializers) {
            let counted = name
                .rsplit_once('_')
                .and_then(|(base, n)| Some((base, n.parse().ok()?)));
            let (base, n) = counted.unwrap_or((name, 1));
            let counter = new.counters.entry(base.to_owned()).or_insert(0);
            *counter = n.max(*counter);
        }
        new
    }

    /// Runs `emit` within the module scope that names the nodes. A scope that begins with the present one replaces it,
    /// any other is appended to it.
    pub fn scoped<T, E>(
        &mut self,
        scope: &str,
        emit: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let inner = match self.scope.last() {
            Some(outer) if !is_within(scope, outer) => format!("{outer}.{scope}"),
            _ => scope.to_owned(),
        };
        self.scope.push(inner);
        let result = emit(self);
        self.scope.pop();
        result
    }

    /// The present module scope; at the top, the graph's name.
    pub(super) fn present_scope(&self) -> &str {
        self.scope.last().unwrap_or(&self.name)
    }

    pub(super) fn fresh(&mut self, what: &str) -> String {
        let base = format!("{}/{what}", self.present_scope());
        loop {
            let n = self.counters.entry(base.clone()).or_insert(0);
            *n += 1;
            let name = match *n {
                1 => base.clone(),
                n => format!("{base}_{n}"),
            };
            // A graph that was read has names that were not counted.
            let taken = |suffix| self.names.contains_key(&format!("{name}{suffix}"));
            if !["", ":out", ":0"].into_iter().any(taken) {
                return name;
            }
        }
    }
}

/// Whether a module scope is `outer` or lies within it.
pub fn is_within(scope: &str, outer: &str) -> bool {
    let rest = scope.strip_prefix(outer);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
