//! What naga says about a shader: bindings, overrides, the uniform struct; and the checks against WebGPU's defaults.

use naga::valid::{Capabilities, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator};
use naga::{AddressSpace, Handle, Literal, Module, Scalar, ScalarKind, StorageAccess, Type, TypeInner};

/// WebGPU's default limits, which every shader keeps.
const MAX_STORAGE_BINDINGS: usize = 8;
const MAX_WORKGROUP_BYTES: u32 = 16 << 10;
const MAX_INVOCATIONS: u32 = 256;

pub struct Reflected {
    pub entry: String,
    pub workgroup_size: [u32; 3],
    /// `(binding number, kind)`, ascending.
    pub bindings: Vec<(u32, &'static str)>,
    pub overrides: Vec<String>,
    /// `(field, Rust type)` of the uniform struct; empty without one.
    pub params: Vec<(String, String)>,
}

pub fn reflect(name: &str, source: &str) -> Result<Reflected, String> {
    let module = naga::front::wgsl::parse_str(source).map_err(|e| e.emit_to_string_with_path(source, name))?;
    Validator::new(ValidationFlags::all(), Capabilities::all())
        .subgroup_stages(ShaderStages::COMPUTE)
        .subgroup_operations(SubgroupOperationSet::all())
        .validate(&module)
        .map_err(|e| e.emit_to_string_with_path(source, name))?;
    let [entry] = module.entry_points.as_slice() else {
        return Err(format!("{name}: a kernel file has exactly one entry point"));
    };
    let mut bindings = Vec::new();
    let mut params = Vec::new();
    let mut workgroup_bytes = 0;
    for (_, var) in module.global_variables.iter() {
        let Some(binding) = &var.binding else {
            if var.space == AddressSpace::WorkGroup {
                workgroup_bytes += size(&module, var.ty);
            }
            continue;
        };
        if binding.group != 0 {
            return Err(format!("{name}: bindings belong in group 0"));
        }
        let kind = match var.space {
            AddressSpace::Uniform => {
                params = uniform_fields(name, &module, var.ty)?;
                "Uniform"
            }
            AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => "ReadWrite",
            AddressSpace::Storage { .. } => "Read",
            space => return Err(format!("{name}: a binding in address space {space:?} is not supported")),
        };
        bindings.push((binding.binding, kind));
    }
    bindings.sort();
    let overrides = module
        .overrides
        .iter()
        .map(|(_, o)| {
            let init = o.init.and_then(|e| literal(&module, e));
            match (&o.name, init) {
                (Some(n), Some(_)) => Ok(n.clone()),
                (n, _) => Err(format!("{name}: override {n:?} needs a literal default")),
            }
        })
        .collect::<Result<Vec<_>, String>>()?;
    let mut workgroup_size = entry.workgroup_size;
    if let Some(sizes) = entry.workgroup_size_overrides {
        for (size, expression) in workgroup_size.iter_mut().zip(sizes) {
            if let Some(value) = expression.and_then(|e| literal(&module, e)) {
                *size = value as u32;
            }
        }
    }
    let storage = bindings.iter().filter(|(_, kind)| *kind != "Uniform").count();
    if storage > MAX_STORAGE_BINDINGS {
        return Err(format!("{name}: {storage} storage bindings, WebGPU guarantees {MAX_STORAGE_BINDINGS}"));
    }
    if bindings.len() - storage > 1 {
        return Err(format!("{name}: more than one uniform"));
    }
    if workgroup_bytes > MAX_WORKGROUP_BYTES {
        return Err(format!("{name}: {workgroup_bytes} bytes of workgroup memory, at most {MAX_WORKGROUP_BYTES}"));
    }
    if workgroup_size.iter().product::<u32>() > MAX_INVOCATIONS {
        return Err(format!("{name}: workgroup of {workgroup_size:?}, at most {MAX_INVOCATIONS} invocations"));
    }
    Ok(Reflected { entry: entry.name.clone(), workgroup_size, bindings, overrides, params })
}

/// Bytes of a type; an array sized by an override counts as 0 (its size is known only with the pipeline).
fn size(module: &Module, ty: Handle<Type>) -> u32 {
    match module.types[ty].inner {
        TypeInner::Array { size: naga::ArraySize::Pending(_), .. } => 0,
        ref inner => inner.try_size(module.to_ctx()).unwrap_or(0),
    }
}

/// Value of a literal or an override's default.
fn literal(module: &Module, expression: Handle<naga::Expression>) -> Option<f64> {
    Some(match module.global_expressions[expression] {
        naga::Expression::Literal(Literal::F32(v)) => v.into(),
        naga::Expression::Literal(Literal::AbstractFloat(v)) => v,
        naga::Expression::Literal(Literal::U32(v)) => v.into(),
        naga::Expression::Literal(Literal::I32(v)) => v.into(),
        naga::Expression::Literal(Literal::AbstractInt(v)) => v as f64,
        naga::Expression::Literal(Literal::Bool(v)) => u32::from(v).into(),
        naga::Expression::Override(handle) => literal(module, module.overrides[handle].init?)?,
        _ => return None,
    })
}

/// Fields of the uniform struct as Rust types of the same layout; refuses one with gaps.
fn uniform_fields(name: &str, module: &Module, ty: Handle<Type>) -> Result<Vec<(String, String)>, String> {
    let TypeInner::Struct { members, .. } = &module.types[ty].inner else {
        return Err(format!("{name}: the uniform must be a struct"));
    };
    let mut end = 0;
    let mut fields = Vec::new();
    for member in members {
        let field = member.name.clone().unwrap_or_default();
        if member.offset != end {
            return Err(format!(
                "{name}: {} bytes of padding before `{field}`; reorder the struct",
                member.offset - end
            ));
        }
        let (rust, bytes) = rust_type(module, member.ty)
            .ok_or_else(|| format!("{name}: uniform field `{field}` must be a scalar, a vec4 or an array of vec4"))?;
        end += bytes;
        fields.push((field, rust));
    }
    Ok(fields)
}

fn rust_type(module: &Module, ty: Handle<Type>) -> Option<(String, u32)> {
    let scalar_name = |scalar: Scalar| match (scalar.kind, scalar.width) {
        (ScalarKind::Uint, 4) => Some("u32"),
        (ScalarKind::Sint, 4) => Some("i32"),
        (ScalarKind::Float, 4) => Some("f32"),
        _ => None,
    };
    match module.types[ty].inner {
        TypeInner::Scalar(scalar) => Some((scalar_name(scalar)?.to_string(), 4)),
        TypeInner::Vector { size: naga::VectorSize::Quad, scalar } => {
            Some((format!("[{}; 4]", scalar_name(scalar)?), 16))
        }
        TypeInner::Array { base, size: naga::ArraySize::Constant(count), stride } => {
            let (element, bytes) = rust_type(module, base)?;
            (bytes == stride).then(|| (format!("[{element}; {count}]"), stride * count.get()))
        }
        _ => None,
    }
}
