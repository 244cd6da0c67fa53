//! Adam (Kingma & Ba 2015), with steps in units of what is trained.

const MOMENTUM: [f32; 2] = [0.9, 0.95];
const LEAST: f32 = 1e-20;

/// Numbers that are trained.
pub struct Parameter {
    pub values: Vec<f32>,
    /// Of the loss, summed up since the last step.
    pub gradient: Vec<f32>,
    /// How far a step of rate 1 takes each.
    units: Vec<f32>,
    mean: Vec<f32>,
    square: Vec<f32>,
    steps: i32,
}

impl Parameter {
    fn new(values: Vec<f32>, units: Vec<f32>) -> Self {
        let zeros = || vec![0f32; values.len()];
        Parameter { gradient: zeros(), mean: zeros(), square: zeros(), units, values, steps: 0 }
    }

    /// Factors: steps are shares of each one's size.
    pub fn factors(values: Vec<f32>) -> Self {
        let units = values.iter().map(|v| v.abs()).collect();
        Self::new(values, units)
    }

    /// Terms: steps are shares of their root mean square.
    pub fn terms(values: Vec<f32>) -> Self {
        let square: f64 = values.iter().map(|&v| f64::from(v).powi(2)).sum();
        let unit = (square / values.len().max(1) as f64).sqrt() as f32;
        let units = vec![unit; values.len()];
        Self::new(values, units)
    }

    pub fn step(&mut self, rate: f64) {
        self.steps += 1;
        let [keep, keep_square] = MOMENTUM;
        let [whole, whole_square] = MOMENTUM.map(|keep| 1.0 - keep.powi(self.steps));
        for (i, value) in self.values.iter_mut().enumerate() {
            // In the units, so that `LEAST` means the same everywhere.
            let slope = self.gradient[i] * self.units[i];
            self.mean[i] = keep * self.mean[i] + (1.0 - keep) * slope;
            self.square[i] = keep_square * self.square[i] + (1.0 - keep_square) * slope * slope;
            let way = self.mean[i] / whole / ((self.square[i] / whole_square).sqrt() + LEAST);
            *value -= rate as f32 * self.units[i] * way;
        }
        self.gradient.fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_where_the_slope_ends() {
        let mut parameter = Parameter::factors(vec![1.0, -2.0, 0.0]);
        for _ in 0..400 {
            let slopes = parameter.values.iter().zip([1.3f32, -1.6, 5.0]).map(|(v, to)| v - to);
            parameter.gradient = slopes.collect();
            parameter.step(5e-3);
        }
        let close = |v: f32, to: f32| (v - to).abs() < 0.02;
        assert!(close(parameter.values[0], 1.3) && close(parameter.values[1], -1.6), "{:?}", parameter.values);
        assert_eq!(parameter.values[2], 0.0);
    }
}
