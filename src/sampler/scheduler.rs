//! What a checkpoint says of its schedule: the `scheduler_config.json` of a
//! diffusers folder.

use serde::{Deserialize, Serialize};

/// Why a scheduler's configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchedulerError {
    /// The text is no JSON, or a field is of the wrong kind.
    #[error("the scheduler's configuration cannot be read: {0}")]
    Unreadable(String),
    /// Another scheduler than those of flow matching.
    #[error(
        "the checkpoint names the scheduler {0:?}; UniPCMultistepScheduler and FlowMatchEulerDiscreteScheduler are known: choose one with its shift"
    )]
    Class(String),
    /// A way of making noise levels that no Wan checkpoint uses.
    #[error(
        "the scheduler's configuration sets {field} to {value}, which is not supported; Wan's own has {wanted}"
    )]
    Value {
        /// Name as in the file.
        field: &'static str,
        /// What it says.
        value: String,
        /// What it should say.
        wanted: &'static str,
    },
}

/// The two forms of B(h) in UniPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UniPcVariant {
    /// B(h) = h.
    Bh1,
    /// B(h) = eʰ − 1.
    Bh2,
}

/// How UniPC goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UniPcSettings {
    /// Steps that are looked back on, 1 to 3.
    pub order: usize,
    /// The form of B(h).
    pub variant: UniPcVariant,
    /// Whether the last steps look back less.
    pub lower_order_final: bool,
    /// Steps behind which nothing is corrected.
    pub disable_corrector: Vec<usize>,
}

impl Default for UniPcSettings {
    fn default() -> Self {
        Self {
            order: 2,
            variant: UniPcVariant::Bh2,
            lower_order_final: true,
            disable_corrector: Vec::new(),
        }
    }
}

/// The solver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// Euler's.
    Euler,
    /// UniPC (Zhao et al., 2023) on the predicted clean sample.
    UniPc(UniPcSettings),
}

/// A solver and its noise levels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchedulerConfig {
    /// The solver.
    pub method: Method,
    /// How much longer noise levels stay high: σ → sσ / (1 + (s − 1)σ).
    pub shift: f64,
    /// Time steps that the model was trained with.
    pub train_steps: usize,
}

#[derive(Deserialize)]
#[serde(default)]
struct File {
    #[serde(rename = "_class_name")]
    class: String,
    num_train_timesteps: usize,
    shift: f64,
    flow_shift: f64,
    use_flow_sigmas: bool,
    prediction_type: String,
    solver_order: usize,
    solver_type: String,
    lower_order_final: bool,
    disable_corrector: Vec<usize>,
    predict_x0: bool,
    thresholding: bool,
    final_sigmas_type: String,
    use_dynamic_shifting: bool,
    use_karras_sigmas: bool,
    use_exponential_sigmas: bool,
    use_beta_sigmas: bool,
    invert_sigmas: bool,
    stochastic_sampling: bool,
    shift_terminal: Option<f64>,
    solver_p: serde_json::Value,
}

impl Default for File {
    fn default() -> Self {
        Self {
            class: String::new(),
            num_train_timesteps: 1000,
            shift: 1.0,
            flow_shift: 1.0,
            use_flow_sigmas: false,
            prediction_type: "epsilon".to_owned(),
            solver_order: 2,
            solver_type: "bh2".to_owned(),
            lower_order_final: true,
            disable_corrector: Vec::new(),
            predict_x0: true,
            thresholding: false,
            final_sigmas_type: "zero".to_owned(),
            use_dynamic_shifting: false,
            use_karras_sigmas: false,
            use_exponential_sigmas: false,
            use_beta_sigmas: false,
            invert_sigmas: false,
            stochastic_sampling: false,
            shift_terminal: None,
            solver_p: serde_json::Value::Null,
        }
    }
}

impl SchedulerConfig {
    /// Reads the text of a `scheduler_config.json`.
    pub fn from_json(text: &str) -> Result<Self, SchedulerError> {
        let file: File =
            serde_json::from_str(text).map_err(|e| SchedulerError::Unreadable(e.to_string()))?;
        for (field, set) in [
            ("use_dynamic_shifting", file.use_dynamic_shifting),
            ("use_karras_sigmas", file.use_karras_sigmas),
            ("use_exponential_sigmas", file.use_exponential_sigmas),
            ("use_beta_sigmas", file.use_beta_sigmas),
            ("invert_sigmas", file.invert_sigmas),
            ("stochastic_sampling", file.stochastic_sampling),
            ("shift_terminal", file.shift_terminal.is_some()),
            ("thresholding", file.thresholding),
            ("solver_p", !file.solver_p.is_null()),
        ] {
            refuse(set, field, "another value", "none of it")?;
        }
        let (method, shift) = match file.class.as_str() {
            "FlowMatchEulerDiscreteScheduler" => (Method::Euler, file.shift),
            "UniPCMultistepScheduler" => (Method::UniPc(unipc(&file)?), file.flow_shift),
            other => return Err(SchedulerError::Class(other.to_owned())),
        };
        let config = Self {
            method,
            shift,
            train_steps: file.num_train_timesteps,
        };
        let field = if config.method == Method::Euler {
            "shift"
        } else {
            "flow_shift"
        };
        let bad_shift = !(shift > 0.0 && shift <= 1000.0);
        refuse(bad_shift, field, shift, "between 1 and 12")?;
        let steps = config.train_steps;
        let bad_steps = !(1..=1_000_000).contains(&steps);
        refuse(bad_steps, "num_train_timesteps", steps, "1000")?;
        Ok(config)
    }
}

fn unipc(file: &File) -> Result<UniPcSettings, SchedulerError> {
    let kind = &file.prediction_type;
    let other = kind != "flow_prediction";
    refuse(other, "prediction_type", kind, "flow_prediction")?;
    refuse(!file.use_flow_sigmas, "use_flow_sigmas", false, "true")?;
    refuse(!file.predict_x0, "predict_x0", false, "true")?;
    let last = &file.final_sigmas_type;
    refuse(last != "zero", "final_sigmas_type", last, "zero")?;
    let order = file.solver_order;
    refuse(!(1..=3).contains(&order), "solver_order", order, "2")?;
    let variant = match file.solver_type.as_str() {
        "bh1" => UniPcVariant::Bh1,
        "bh2" => UniPcVariant::Bh2,
        other => {
            return Err(SchedulerError::Value {
                field: "solver_type",
                value: other.to_owned(),
                wanted: "bh2",
            });
        }
    };
    Ok(UniPcSettings {
        order,
        variant,
        lower_order_final: file.lower_order_final,
        disable_corrector: file.disable_corrector.clone(),
    })
}

fn refuse(
    wrong: bool,
    field: &'static str,
    value: impl ToString,
    wanted: &'static str,
) -> Result<(), SchedulerError> {
    if wrong {
        return Err(SchedulerError::Value {
            field,
            value: value.to_string(),
            wanted,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_supported_is_said_by_name() {
        let says = |rest: &str| {
            let text = format!(r#"{{"_class_name": "UniPCMultistepScheduler", {rest}}}"#);
            SchedulerConfig::from_json(&text).unwrap_err().to_string()
        };
        assert!(says(r#""num_train_timesteps": 1000"#).contains("prediction_type"));
        let flow = r#""prediction_type": "flow_prediction", "use_flow_sigmas": true"#;
        let with = |rest: &str| says(&format!("{flow}, {rest}"));
        assert!(with(r#""use_karras_sigmas": true"#).contains("use_karras_sigmas"));
        assert!(with(r#""flow_shift": 0"#).contains("flow_shift"));
        assert!(with(r#""flow_shift": null"#).contains("cannot be read"));
        assert!(with(r#""solver_order": 9"#).contains("solver_order"));
        let ddim = SchedulerConfig::from_json(r#"{"_class_name": "DDIMScheduler"}"#);
        assert!(ddim.unwrap_err().to_string().contains("DDIM"));
    }
}
