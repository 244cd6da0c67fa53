#!/usr/bin/env python3
"""Write tests/data/decoders: small random decoders as transformers saves them, and what it computes with them.

    python3 -m venv V && V/bin/pip install torch==2.9.1 transformers==4.57.1 safetensors==0.8.0
    V/bin/python pkg-scripts/decoder_cases.py

Takes gigabytes; run by hand in an environment that is thrown away. Logits are those of all tokens, in float32, of the
weights as they are stored (one case in bfloat16, one in float16), with keys and values rounded to float16 as a cache
keeps them. `beams.json`: the ids that beam search finds with some of them.
"""
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import (
    DynamicCache,
    Gemma3ForCausalLM, Gemma3TextConfig, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM,
    Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM,
)

OUT = Path(__file__).resolve().parent.parent / "tests/data/decoders"
VOCABULARY, TOKENS = 61, 37
SIZES = dict(vocab_size=VOCABULARY, hidden_size=32, intermediate_size=44, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=128, initializer_range=0.4)
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 16}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}

CASES = {
    "llama": (LlamaForCausalLM, LlamaConfig(**SIZES, rope_scaling=LLAMA3, tie_word_embeddings=True), torch.float32),
    "llama-linear": (LlamaForCausalLM, LlamaConfig(**SIZES, rope_scaling={"rope_type": "linear", "factor": 2.5}),
                     torch.float16),
    "mistral": (MistralForCausalLM, MistralConfig(**SIZES, head_dim=12, sliding_window=9), torch.bfloat16),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**SIZES, rope_theta=1e6, rope_scaling=YARN), torch.float32),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**SIZES, head_dim=16), torch.float32),
    "gemma3": (Gemma3ForCausalLM, Gemma3TextConfig(**{**SIZES, "num_hidden_layers": 4}, head_dim=16, sliding_window=9,
                                                   sliding_window_pattern=3, query_pre_attn_scalar=24), torch.float32),
}


# Of which beam search is asked: a model, the prompt's length, tokens that end texts, most tokens, beams, length penalty.
BEAMS = [(name, prompt, ends, 24, beams, penalty)
         for name, prompt, ends in [("llama", 7, [3, 17, 40]), ("qwen3", 1, [5, 11]), ("gemma3", 20, [8, 30, 31, 32])]
         for beams in (2, 3, 4) for penalty in (1.0, 0.0, 2.5, -1.0)]


class HalfCache(DynamicCache):
    def update(self, keys, values, *args, **options):
        return super().update(keys.half().float(), values.half().float(), *args, **options)


def main() -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    for seed, (name, (kind, config, dtype)) in enumerate(CASES.items()):
        torch.manual_seed(seed)
        config._attn_implementation = "eager"
        model = kind(config).eval()
        with torch.no_grad():
            for key, tensor in model.named_parameters():
                if tensor.ndim == 1:  # norms and biases start at one and zero
                    tensor.add_(torch.randn_like(tensor) * 0.2)
        model.to(dtype).save_pretrained(OUT / name)
        # What is stored, computed with in float32.
        stored = kind.from_pretrained(OUT / name, dtype=torch.float32, attn_implementation="eager").eval()
        ids = torch.randint(0, VOCABULARY, (1, TOKENS))
        with torch.no_grad():
            logits = stored(ids, past_key_values=HalfCache(), use_cache=True).logits[0]
        save_file({"ids": ids[0], "logits": logits.contiguous()}, OUT / name / "expected.safetensors")
        (OUT / name / "generation_config.json").unlink(missing_ok=True)
        print(name, json.loads((OUT / name / "config.json").read_text())["model_type"], logits.std().item())
    beams()


def beams() -> None:
    """Texts that ended by themselves, and such that did not; with `early_stopping=False`, the default."""
    cases = []
    for name, length, ends, most, count, penalty in BEAMS:
        model = CASES[name][0].from_pretrained(OUT / name, dtype=torch.float32, attn_implementation="eager").eval()
        torch.manual_seed(len(cases))
        prompt = torch.randint(0, VOCABULARY, (1, length))
        found = model.generate(prompt, attention_mask=torch.ones_like(prompt), past_key_values=HalfCache(),
                               num_beams=count, length_penalty=penalty, max_new_tokens=most, do_sample=False,
                               eos_token_id=ends, pad_token_id=ends[0], return_dict_in_generate=True, output_scores=True)
        ids = found.sequences[0, length:].tolist()
        cases.append({"model": name, "prompt": prompt[0].tolist(), "ends": ends, "most": most, "beams": count,
                      "length_penalty": penalty, "ids": ids, "score": found.sequences_scores[0].item()})
    ended = sum(case["ids"][-1] in case["ends"] for case in cases)
    print(len(cases), "searches,", ended, "of them ended, lengths", sorted({len(case["ids"]) for case in cases}))
    (OUT / "beams.json").write_text("[\n" + ",\n".join(map(json.dumps, cases)) + "\n]\n")


if __name__ == "__main__":
    main()
