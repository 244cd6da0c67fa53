//! A graph in parts that run one after the other.

use std::collections::HashSet;

use super::{Graph, Node, ValueId};

impl Graph {
    /// What the inputs `first` alone decide, and the rest. Outputs of the first part are the values that the rest needs of
    /// it; the rest takes them as inputs of the same names, after its own. So a part that is run once, such as an encoder,
    /// serves many runs of the other.
    pub fn split(&self, first: &[ValueId]) -> (Graph, Graph) {
        let late_inputs: Vec<ValueId> = self.inputs.iter().copied().filter(|id| !first.contains(id)).collect();
        let mut late: HashSet<ValueId> = late_inputs.iter().copied().collect();
        let mut early: HashSet<ValueId> = first.iter().copied().collect();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for node in &self.nodes {
            let depends = |on: &HashSet<ValueId>| node.inputs.iter().flatten().any(|id| on.contains(id));
            let outputs = node.outputs.iter().flatten().copied();
            if depends(&late) {
                late.extend(outputs);
                after.push(node.clone());
            } else if depends(&early) {
                early.extend(outputs);
                before.push(node.clone());
            } else {
                // Constants are cheap, and either part may need them.
                before.push(node.clone());
                after.push(node.clone());
            }
        }
        let used = after.iter().flat_map(|node| node.inputs.iter().flatten()).chain(&self.outputs);
        let mut cut = Vec::new();
        for &id in used {
            if early.contains(&id) && !cut.contains(&id) {
                cut.push(id);
            }
        }
        let after_inputs = late_inputs.into_iter().chain(cut.iter().copied()).collect();
        (self.part(first.to_vec(), before, cut), self.part(after_inputs, after, self.outputs.clone()))
    }

    /// The nodes that each of `ends` needs beyond those before it, in the order of `ends`; nodes that none needs are left
    /// out. Outputs of a part are its ends, as far as they were not computed before, and what later parts need of it;
    /// inputs are the graph's that it needs, then values of earlier parts. Each goes by its own name.
    pub fn stages(&self, ends: &[Vec<ValueId>]) -> Vec<Graph> {
        // What the graph's inputs decide. All else is constant, and whoever needs it computes it again.
        let mut varying: HashSet<ValueId> = self.inputs.iter().copied().collect();
        for node in &self.nodes {
            if node.inputs.iter().flatten().any(|id| varying.contains(id)) {
                varying.extend(node.outputs.iter().flatten());
            }
        }
        let mut done: HashSet<ValueId> = self.inputs.iter().copied().collect();
        let mut parts: Vec<(Vec<Node>, HashSet<ValueId>)> = Vec::new();
        for end in ends {
            let mut needed: HashSet<ValueId> = end.iter().copied().filter(|id| !done.contains(id)).collect();
            let mut nodes = Vec::new();
            for node in self.nodes.iter().rev() {
                let makes = node.outputs.iter().flatten().any(|id| needed.contains(id) && !done.contains(id));
                if makes {
                    needed.extend(node.inputs.iter().flatten());
                    nodes.push(node.clone());
                }
            }
            nodes.reverse();
            let made = nodes.iter().flat_map(|node| node.outputs.iter().flatten());
            done.extend(made.filter(|id| varying.contains(id)));
            parts.push((nodes, needed));
        }
        let mut graphs = Vec::with_capacity(parts.len());
        for (i, (nodes, needed)) in parts.iter().enumerate() {
            let made: HashSet<ValueId> = nodes.iter().flat_map(|node| node.outputs.iter().flatten()).copied().collect();
            let given = |id: &ValueId| needed.contains(id) && varying.contains(id) && !made.contains(id);
            let own = self.inputs.iter().copied();
            let earlier = self.nodes.iter().flat_map(|node| node.outputs.iter().flatten().copied());
            let inputs = own.chain(earlier).filter(given).collect();
            let later = &parts[i + 1..];
            let wanted = |id: &ValueId| later.iter().any(|(_, needed)| needed.contains(id)) && varying.contains(id);
            let mut outputs: Vec<ValueId> = ends[i].iter().copied().filter(|id| needed.contains(id)).collect();
            for id in nodes.iter().flat_map(|node| node.outputs.iter().flatten().copied()) {
                if wanted(&id) && !outputs.contains(&id) {
                    outputs.push(id);
                }
            }
            graphs.push(self.part(inputs, nodes.clone(), outputs));
        }
        graphs
    }

    fn part(&self, inputs: Vec<ValueId>, nodes: Vec<Node>, outputs: Vec<ValueId>) -> Graph {
        let used: HashSet<ValueId> =
            nodes.iter().flat_map(|n| n.inputs.iter().flatten()).chain(&outputs).copied().collect();
        let weights = self.weights.iter().filter(|(id, _)| used.contains(id)).map(|(&id, w)| (id, w.clone())).collect();
        Graph { name: self.name.clone(), values: self.values.clone(), inputs, outputs, nodes, weights }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Attrs, Weight};
    use crate::tensor::{DType, Tensor};

    #[test]
    fn what_the_first_inputs_decide_is_cut_off() {
        let mut graph = Graph::default();
        let a = graph.add_input("a", DType::F32, vec![]);
        let b = graph.add_input("b", DType::F32, vec![]);
        let w = graph.add_weight("w", Weight::Dense(Tensor::scalar(2f32)));
        let mut node = |name: &str, inputs: &[ValueId]| graph.add_node("Add", name, inputs, Attrs::default());
        let early = node("early", &[a, w]);
        let late = node("late", &[b, w]);
        let constant = node("constant", &[w, w]);
        let deeper = node("deeper", &[early, constant]);
        let both = node("both", &[deeper, late]);
        graph.outputs = vec![both, early];
        let (first, rest) = graph.split(&[a]);
        first.validate().unwrap();
        rest.validate().unwrap();
        let names = |graph: &Graph| graph.nodes.iter().map(|n| n.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&first), ["early", "constant", "deeper"]);
        assert_eq!(names(&rest), ["late", "constant", "both"]);
        assert_eq!((first.inputs, first.outputs), (vec![a], vec![deeper, early]));
        assert_eq!((rest.inputs, rest.outputs), (vec![b, deeper, early], vec![both, early]));
    }

    #[test]
    fn stages_compute_what_none_before_them_did() {
        let mut graph = Graph::default();
        let a = graph.add_input("a", DType::F32, vec![]);
        let b = graph.add_input("b", DType::F32, vec![]);
        let w = graph.add_weight("w", Weight::Dense(Tensor::scalar(2f32)));
        let mut node = |name: &str, inputs: &[ValueId]| graph.add_node("Add", name, inputs, Attrs::default());
        let constant = node("constant", &[w, w]);
        let one = node("one", &[a, constant]);
        let unused = node("unused", &[one, one]);
        let first = node("first", &[one, w]);
        let two = node("two", &[one, b]);
        let second = node("second", &[two, constant]);
        let last = node("last", &[two, one]);
        let stages = graph.stages(&[vec![first], vec![second, first], vec![last, unused]]);
        let names = |graph: &Graph| graph.nodes.iter().map(|n| n.name.clone()).collect::<Vec<_>>();
        for stage in &stages {
            stage.validate().unwrap();
        }
        assert_eq!(names(&stages[0]), ["constant", "one", "first"]);
        assert_eq!(names(&stages[1]), ["constant", "two", "second"]);
        assert_eq!(names(&stages[2]), ["unused", "last"]);
        assert_eq!((&stages[0].inputs, &stages[0].outputs), (&vec![a], &vec![first, one]));
        assert_eq!((&stages[1].inputs, &stages[1].outputs), (&vec![b, one], &vec![second, two]));
        assert_eq!((&stages[2].inputs, &stages[2].outputs), (&vec![one, two], &vec![last, unused]));
    }
}
