//! Weights of elastic precision in a session: kernels see one form at a time, made from the stored weight.

use std::sync::Arc;

use crate::Result;
use crate::graph::{Graph, ValueId, Weight};
use crate::weights::elastic::Precision;
use crate::weights::{Elastic, Encoded};

/// The stored weights, shared with the model.
pub struct Masters(Vec<(ValueId, Arc<Encoded>)>);

impl Masters {
    /// Those of a graph, which gets their finest form instead.
    pub fn take(graph: &mut Graph) -> Result<Self> {
        let elastic = |(&id, weight): (&ValueId, &Weight)| match weight {
            Weight::Encoded(encoded) if matches!(**encoded, Encoded::Elastic(_)) => Some((id, encoded.clone())),
            _ => None,
        };
        let masters = Masters(graph.weights.iter().filter_map(elastic).collect());
        masters.serve(graph, Precision::default())?;
        Ok(masters)
    }

    pub fn any(&self) -> bool {
        !self.0.is_empty()
    }

    /// Gives the graph another form.
    pub fn serve(&self, graph: &mut Graph, precision: Precision) -> Result<()> {
        let form = |(id, master): &(ValueId, Arc<Encoded>)| match &**master {
            Encoded::Elastic(elastic) => Some(Elastic::at(elastic, precision).map(|affine| (*id, affine))),
            _ => None,
        };
        let forms = self.0.iter().filter_map(form).collect::<Result<Vec<_>>>()?;
        graph.weights.extend(forms.into_iter().map(|(id, form)| (id, Weight::Encoded(Arc::new(form.into())))));
        Ok(())
    }
}
