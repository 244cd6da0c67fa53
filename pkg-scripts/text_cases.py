#!/usr/bin/env python3
"""Write tests/data/text: small vocabularies, texts, and the ids and conversations that the references make of them.

    pkg-scripts/setup peers && pkg-scripts/fetch smollm2_135m_q4_1 minilm
    python3 -m venv V && V/bin/pip install --no-deps tokenizers==0.23.3 jinja2==3.1.6 markupsafe==3.0.4
    V/bin/python pkg-scripts/text_cases.py

Run by hand when a case is added; its results are committed. References: llama.cpp (as @node-llama-cpp/linux-x64 ships
it) for vocabularies in GGUF, the library `tokenizers` for tokenizer.json, Jinja2 for chat templates. The small
vocabularies are trained here, on the texts below; real ones are SmolLM2's (GGUF) and MiniLM's (tokenizer.json).
"""
import ctypes
import glob
import json
import os
import struct
import sys
from pathlib import Path

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

OUT = Path(__file__).resolve().parent.parent / "tests/data/text"
CACHE = Path(os.environ.get("FEWBIT_CACHE") or Path.home() / ".cache" / "fewbit")

# Each text is a list of parts, repeated: long runs stay short here.
TEXTS = [
    [],
    [["a", 1]],
    [[" ", 1]],
    [["The capital of France is", 1]],
    [["  leading and trailing   ", 1]],
    [["It's what I'd've said, WE'LL see; they'RE it's'", 1]],
    [["tabs\tand\t\tmore \t mixed\n\n\nlines\r\n\r\n  indented\n\tby a tab  \n", 1]],
    [["def fibonacci(n):\n    if n <= 1:\n        return n\n    return fibonacci(n - 1) + fibonacci(n - 2)\n", 1]],
    [["for (int i=0;i<10;++i){a[i]*=b[i]&0xFF;}//…\n#include <stdio.h>\n", 1]],
    [["1 12 123 1234 12345 123456 3.14159 1,000,000 ½ ² Ⅷ ١٢٣ १२३", 1]],
    [["Ünïcödé naïve façade Straße ΑΒΓ αβγ Привет мир שלום مرحبا นี่คือ नमस्ते", 1]],
    [["你好，世界。これは日本語です。한국어 텍스트입니다 𠜎𠜱", 1]],
    [["🙂👍🏽👨‍👩‍👧‍👦🇫🇷 e\u0301 é ﬁ ａｂｃ \u200b\u200d\ufeff\u00a0\u2003\u3000x", 1]],
    [["bad bytes: \ufffd\ufffd then \u0000\u0001\u007f\u0085 end", 1]],
    [["<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<|endoftext|>", 1]],
    [["<|im_start|<|im_end|><|im_end|> <s></s><unk>[CLS][SEP] <0x41> tool_call<tool>x</tool>", 1]],
    [["▁a▁▁b Ġc Ċd", 1]],
    [["a", 1000]],
    [[" ", 1000]],
    [[" ", 999], ["x", 1]],
    [["\n", 333], ["-", 500], ["=", 77], [" \n", 50], ["1", 400]],
    [["🙂", 200], ["字", 200], ["ab", 200], ["aB", 100]],
    [["She sells sea shells by the sea shore; the shells she sells are sea shells, surely. ", 3]],
]

# What the small vocabularies are trained on, beside the texts.
PROSE = """The quick brown fox jumps over the lazy dog while the other animals watch from the shade of an old tree.
It was the best of days and the worst of days; there were those who said it would rain, and those who'd seen the sun.
In the beginning the function returns zero, then one, and each number after that is the sum of the two before it.
We'll see what they're doing with the 12 numbers from 1969 and the 365 days of 2024. He said: "I can't, it isn't mine."
    if value is None:
        return [token for token in tokens if token.startswith("the")]
"""
CONTROL = ["<unk>", "<s>", "</s>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
USER_DEFINED = ["<tool>", "</tool>", "tool_call"]
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def text(parts: list) -> str:
    return "".join(part * count for part, count in parts)


def runs(ids: list) -> list:
    """Ids with how often each follows itself: [id, count, id, count, …]."""
    flat = []
    for token in ids:
        if flat and flat[-2] == token:
            flat[-1] += 1
        else:
            flat += [token, 1]
    return flat


# --- llama.cpp --------------------------------------------------------------------------------------------------------


class ModelParams(ctypes.Structure):
    """llama_model_params, in memory that is larger than it; only whether to load the vocabulary alone is set."""
    _fields_ = [("raw", ctypes.c_byte * 256)]
    VOCAB_ONLY = 0x48


class Llama:
    def __init__(self):
        folder = CACHE / "peers/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64"
        load = lambda pattern: ctypes.CDLL(glob.glob(str(folder / pattern))[0], mode=ctypes.RTLD_GLOBAL)
        load("libggml-base.so"), load("libggml.*so*")
        self.lib = load("libllama.*so*")
        pointer, number, flag = ctypes.c_void_p, ctypes.c_int, ctypes.c_bool
        for name, result, arguments in [
            ("llama_model_default_params", ModelParams, []),
            ("llama_model_load_from_file", pointer, [ctypes.c_char_p, ModelParams]),
            ("llama_model_get_vocab", pointer, [pointer]),
            ("llama_tokenize", number, [pointer, ctypes.c_char_p, number, pointer, number, flag, flag]),
            ("llama_token_to_piece", number, [pointer, number, ctypes.c_char_p, number, number, flag]),
            ("llama_vocab_n_tokens", number, [pointer]),
            ("llama_vocab_get_add_bos", flag, [pointer]),
            ("llama_vocab_bos", number, [pointer]),
        ]:
            function = getattr(self.lib, name)
            function.restype, function.argtypes = result, arguments
        self.quiet = ctypes.CFUNCTYPE(None, number, ctypes.c_char_p, pointer)(lambda *_: None)
        self.lib.llama_log_set(self.quiet, None)

    def vocabulary(self, path: Path):
        params = self.lib.llama_model_default_params()
        params.raw[ModelParams.VOCAB_ONLY] = 1
        model = self.lib.llama_model_load_from_file(str(path).encode(), params)
        if not model:
            sys.exit(f"llama.cpp cannot read {path}")
        return self.lib.llama_model_get_vocab(model)

    def encode(self, vocabulary, text: str, special: bool) -> list:
        data = text.encode()
        ids = (ctypes.c_int * (len(data) + 8))()
        count = self.lib.llama_tokenize(vocabulary, data, len(data), ids, len(ids), False, special)
        assert count >= 0
        return list(ids[:count])

    def bytes(self, vocabulary, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(4096)
        length = self.lib.llama_token_to_piece(vocabulary, token, buffer, 4096, 0, False)
        return buffer.raw[:length]


def gguf(path: Path, entries: dict) -> None:
    """A GGUF file without tensors: strings, bools, u32, and lists of strings, i32 and f32."""
    def string(s):
        data = s.encode()
        return struct.pack("<Q", len(data)) + data

    def value(v):
        if isinstance(v, str):
            return struct.pack("<I", 8) + string(v)
        if isinstance(v, bool):
            return struct.pack("<IB", 7, v)
        if isinstance(v, int):
            return struct.pack("<II", 4, v)
        kind, pack = {str: (8, string), int: (5, lambda x: struct.pack("<i", x)),
                      float: (6, lambda x: struct.pack("<f", x))}[type(v[0])]
        return struct.pack("<IIQ", 9, kind, len(v)) + b"".join(map(pack, v))

    body = b"".join(string(key) + value(v) for key, v in entries.items())
    path.write_bytes(struct.pack("<4sIQQ", b"GGUF", 3, 0, len(entries)) + body)


# --- small vocabularies -----------------------------------------------------------------------------------------------


def corpus() -> list:
    return [PROSE] * 4 + [text(parts) for parts in TEXTS]


def trained_bytes() -> dict:
    """Model of a byte-level tokenizer.json."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, special_tokens=CONTROL, show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    return json.loads(tokenizer.to_str())["model"]


def bytes_gguf(model: dict, words: str, path: Path) -> None:
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    # Words that merges do not lead to: tokens only where the rule takes whole words.
    tokens += ["Ġwords", "ĠParis"] + USER_DEFINED
    kinds = [3 if t in CONTROL else 4 if t in USER_DEFINED else 1 for t in tokens]
    gguf(path, {
        "general.architecture": "llama", "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": words,
        "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": [" ".join(pair) for pair in model["merges"]],
        "tokenizer.ggml.bos_token_id": tokens.index("<|im_start|>"),
        "tokenizer.ggml.eos_token_id": tokens.index("<|im_end|>"), "tokenizer.ggml.add_bos_token": False,
    })


def pieces_gguf(path: Path) -> None:
    """A SentencePiece-like vocabulary: merges of a trained one as pieces, scored by their order."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    trainer = trainers.BpeTrainer(vocab_size=700, limit_alphabet=150, show_progress=False, max_token_length=12)
    tokenizer.train_from_iterator(corpus(), trainer)
    trained = sorted((v, k) for k, v in tokenizer.get_vocab().items())
    special = CONTROL[:3]
    # llama.cpp ends a token at a NUL, and makes control tokens of plain text if their parts are tokens.
    parts_of_control = lambda t: len(t) > 1 and any(t in control for control in CONTROL[:3])
    wanted = lambda t: t not in CONTROL + USER_DEFINED and "\0" not in t and not parts_of_control(t)
    pieces = [t for _, t in trained if wanted(t)]
    tokens = special + [f"<0x{b:02X}>" for b in range(256)] + pieces + USER_DEFINED
    first = 3 + 256
    kinds = [2, 3, 3] + [6] * 256 + [1] * len(pieces) + [4] * len(USER_DEFINED)
    gguf(path, {
        "general.architecture": "llama", "tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": kinds,
        # Neighbours in the order share a score, so that ties are met.
        "tokenizer.ggml.scores": [0.0] * first + [-float(i // 2) for i in range(len(tokens) - first)],
        "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2, "tokenizer.ggml.unknown_token_id": 0,
    })


def small_json(model: dict) -> dict:
    """Tokenizers of the library, by name."""
    def byte_level(steps, special):
        vocab, merges = model["vocab"], [tuple(pair) for pair in model["merges"]]
        tokenizer = Tokenizer(models.BPE(vocab, merges))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t in special])
        tokenizer.add_tokens([AddedToken(t, normalized=False) for t in USER_DEFINED])
        return tokenizer

    digits = byte_level([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(False)], CONTROL)
    llama = byte_level([pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
                        pre_tokenizers.ByteLevel(False, use_regex=False)], CONTROL)
    llama.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A $B", [("<s>", CONTROL.index("<s>"))])

    unigram = Tokenizer(models.Unigram())
    unigram.normalizer = normalizers.NFKC()
    unigram.pre_tokenizer, unigram.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    unigram.train_from_iterator(corpus(), trainers.UnigramTrainer(
        vocab_size=400, special_tokens=CONTROL, unk_token="<unk>", show_progress=False))

    pieces = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    pieces.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    pieces.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                        decoders.Strip(" ", 1, 0)])
    special = CONTROL[:3] + [f"<0x{b:02X}>" for b in range(256)]
    pieces.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=600, limit_alphabet=100, special_tokens=special, show_progress=False, max_token_length=10))
    trained = json.loads(pieces.to_str())
    trained["added_tokens"] = [t for t in trained["added_tokens"] if t["content"] in CONTROL]
    return {"digits": digits, "llama3": llama, "unigram": unigram, "pieces": Tokenizer.from_str(json.dumps(trained))}


def encoded(encode, decode) -> list:
    """For every text its ids; those with special tokens, and what these decode to, where they are others."""
    cases = []
    for parts in TEXTS:
        plain, special = encode(text(parts), False), encode(text(parts), True)
        case = {"ids": runs(plain)}
        if special != plain:
            case["special"] = runs(special)
        if decode and decode(special) != text(parts):
            case["decoded"] = decode(special)
        cases.append(case)
    return cases


def of_library(tokenizer: Tokenizer, decodes: bool = True) -> dict:
    tokenizer.no_truncation(), tokenizer.no_padding()

    def encode(text, special):
        tokenizer.encode_special_tokens = not special
        return tokenizer.encode(text, add_special_tokens=False).ids

    whole = tokenizer.encode("a", add_special_tokens=True).ids
    at = next(i for i in range(len(whole)) if whole[i:][:len(encode("a", True))] == encode("a", True))
    decode = lambda ids: tokenizer.decode(ids, skip_special_tokens=True)
    return {"size": tokenizer.get_vocab_size(), "prefix": whole[:at], "suffix": whole[at + len(encode("a", True)):],
            "cases": encoded(encode, decode if decodes else None)}


def of_llama(llama: Llama, path: Path) -> dict:
    vocabulary = llama.vocabulary(path)
    size = llama.lib.llama_vocab_n_tokens(vocabulary)
    encode = lambda text, special: llama.encode(vocabulary, text, special)
    # Piece by piece, as text is generated: the space before the first word stays.
    decode = lambda ids: b"".join(llama.bytes(vocabulary, i) for i in ids).decode(errors="replace")
    prefix = [llama.lib.llama_vocab_bos(vocabulary)] if llama.lib.llama_vocab_get_add_bos(vocabulary) else []
    return {"size": size, "prefix": prefix, "suffix": [], "cases": encoded(encode, decode)}


# --- chat templates ---------------------------------------------------------------------------------------------------

TEMPLATES = {
    "chatml": """{% for message in messages %}
{% if loop.first and messages[0]['role'] != 'system' %}
{{ '<|im_start|>system\\nBe brief.<|im_end|>\\n' }}
{% endif %}
{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}
{% endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\\n' }}
{% endif %}
""",
    "turns": """{{ bos_token }}{% if messages[0].role == 'system' %}{% set system = messages[0].content | trim %}
{%- set rest = messages[1:] %}{% else %}{% set system = '' %}{% set rest = messages %}{% endif %}
{%- for message in rest %}
    {%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('Roles must alternate user/assistant/user/assistant/...') }}
    {%- endif %}
    {%- if message.role == 'user' %}
        {{- '[INST] ' ~ (system ~ '\\n\\n' if loop.first and system else '') ~ message.content.strip() ~ ' [/INST]' }}
    {%- elif message.role == 'assistant' %}
        {{- ' ' ~ message.content | trim ~ eos_token }}
    {%- endif %}
{%- endfor %}
""",
    "namespaces": """{%- set ns = namespace(system='', count=0) -%}
{%- for m in messages %}{% if m['role'] == 'system' %}{% set ns.system = m['content'] %}{% endif %}{% endfor -%}
{%- macro head(role, extra=none) %}<|{{ role }}|>{% if extra is not none %}({{ extra }}){% endif %}{% endmacro -%}
{{ head('system', 1) }}{{ ns.system }}
{% for m in messages if m.role != 'system' %}{% set ns.count = ns.count + 1 %}
{{ head(m.role) }} #{{ ns.count }} {{ m.content.split('</think>')[-1].lstrip('\\n') }}{% if not loop.last %}

{% endif %}{% endfor %}
{% if not tools %}{# a comment #}{{ '\\n' }}{%- endif %}
{%- if tools is defined and tools is none and documents is not string %}{{ messages | length }}{% endif %}
{%- if messages[-1].content.startswith('A') and 'b' in messages[-1].content %}!{% endif %}
{%- for m in messages[::-1] %}{% if m.role == 'user' %}{{ m.content | upper }}{% break %}{% endif %}{% endfor %}
""",
    "json": """{% for m in messages %}{{ m | tojson }}
{{ m.content | tojson(indent=2) }}{{ {'a': [1, 2.5, true, none], 'b': {}} | tojson(indent=4) }}
{% for key, value in m.items() %}{{ key }}={{ value }};{% endfor %}
{% endfor %}{% generation %}{{ strftime_now('%Y')[:1] }}{% endgeneration %}""",
}
CONVERSATIONS = [
    [["user", "What is the capital of France?"]],
    [["system", " You are <b>kind</b>. "], ["user", "  Hi\n"], ["assistant", "<think>\nhm</think>\n\nHello & 'welcome' 🙂 \" \\ \n"],
     ["user", "A b\tc é"]],
    [["assistant", "I begin"], ["user", "No"]],
]


class Generation(jinja2.ext.Extension):
    """`{% generation %}`, with which templates mark what the model said: transformers writes what is inside."""
    tags = {"generation"}

    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(["name:endgeneration"], drop_needle=True)


def rendered(templates: dict) -> list:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"])

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: "2026"
    environment.filters["tojson"] = lambda value, indent=None: json.dumps(value, ensure_ascii=False, indent=indent)
    cases = []
    for name, source in templates.items():
        for conversation in CONVERSATIONS:
            for open in [False, True]:
                messages = [{"role": role, "content": content} for role, content in conversation]
                try:
                    expected = environment.from_string(source).render(
                        messages=messages, add_generation_prompt=open, bos_token="<s>", eos_token="</s>", tools=None,
                        documents=None)
                except jinja2.exceptions.TemplateError as error:
                    expected = {"error": str(error)}
                cases.append({"template": name, "messages": conversation, "open": open, "expected": expected})
    return cases


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    write = lambda name, value: (OUT / name).write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
    llama, model, results = Llama(), trained_bytes(), {}
    for words in ["gpt-2", "smollm", "llama-bpe", "qwen2"]:
        path = OUT / "bytes.gguf"
        bytes_gguf(model, words, path)
        results[words] = of_llama(llama, path)
    pieces_gguf(OUT / "pieces.gguf")
    results["pieces.gguf"] = of_llama(llama, OUT / "pieces.gguf")
    results["smollm2"] = of_llama(llama, CACHE / "models/smollm2_135m_q4_1.gguf")
    for name, tokenizer in small_json(model).items():
        (OUT / f"{name}.json").write_text(tokenizer.to_str(pretty=False) + "\n")
        results[f"{name}.json"] = of_library(tokenizer)
    minilm = Tokenizer.from_file(str(CACHE / "models/minilm/tokenizer.json"))
    results["minilm"] = of_library(minilm, decodes=False)
    write("ids.json", {"texts": TEXTS, "tokenizers": results})
    write("chats.json", {"templates": TEMPLATES, "cases": rendered(TEMPLATES)})


if __name__ == "__main__":
    main()
