import { Facts } from "@/components/Facts";
import { sentence, spoken, UNKNOWN } from "@/lib/format";

export type Amounts = Readonly<Record<string, string | null | undefined>>;

/** As it is written, since every digit counts; a dash where it is not known. */
export function dollars(amount: string | null | undefined) {
  return amount === null || amount === undefined ? <span className="dim">{UNKNOWN}</span> : `$${amount}`;
}

export function AmountFacts({ amounts }: { amounts: Amounts }) {
  const known = Object.entries(amounts).filter(([, amount]) => amount !== null && amount !== undefined);
  if (known.length === 0) return <span className="dim">Not known: calls of it are counted as unpriced.</span>;
  return (
    <Facts
      facts={known.map(([name, amount]) => [
        amountName(name),
        <span key={name} className="numbers">
          {dollars(amount)}
        </span>,
      ])}
    />
  );
}

const WHAT: Record<string, string> = {
  input: "input",
  output: "output",
  cache_read: "cached input",
  cache_write: "writing a cache",
  reasoning: "thinking",
  audio_in: "audio in",
  audio_out: "audio out",
  image: "image",
  audio: "audio",
  batch_input: "batch input",
  batch_output: "batch output",
};
const PER: Record<string, string> = { each: "each", per_second: "a second" };

/** `cache_read_usd_per_mtok` is “Cached input”: a million tokens is what is meant where nothing else is said. */
export function amountName(name: string): string {
  const [what = "", unit = ""] = name.split("_usd_");
  const named = WHAT[what] ?? spoken(what);
  const text = unit === "per_mtok" ? named : `${named}, ${PER[unit] ?? spoken(unit)}`;
  return sentence(text);
}
