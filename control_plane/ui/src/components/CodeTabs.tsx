import { SegmentedControl } from "@mantine/core";
import { useState } from "react";
import styles from "@/components/CodeTabs.module.css";
import { Copy } from "@/components/Copy";

const REMEMBERED = "gatehouse.language";

export interface Snippet {
  name: string;
  code: string;
}

/** The same thing in several languages, with real ids in it; the language chosen last comes first next time. */
export function CodeTabs({ snippets, label = "Language" }: { snippets: Snippet[]; label?: string }) {
  const [chosen, setChosen] = useState(localStorage.getItem(REMEMBERED) ?? "");
  const shown = snippets.find((snippet) => snippet.name === chosen) ?? snippets[0];
  if (!shown) return null;
  return (
    <div className={styles.tabs}>
      <div className={styles.bar}>
        {snippets.length > 1 ? (
          <SegmentedControl
            size="xs"
            aria-label={label}
            value={shown.name}
            data={snippets.map((snippet) => snippet.name)}
            onChange={(name) => {
              setChosen(name);
              localStorage.setItem(REMEMBERED, name);
            }}
          />
        ) : (
          <span className={styles.name}>{shown.name}</span>
        )}
        <Copy text={shown.code} label={`Copy ${shown.name}`} />
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <pre className={styles.code} tabIndex={0} aria-label={shown.name} role="region">
        {shown.code}
      </pre>
    </div>
  );
}

/** How a gateway is called, in three languages. */
export function callSnippets(gatewayUrl: string, key: string, model: string, config?: string): Snippet[] {
  const url = `${gatewayUrl}/v1`;
  const header = config ? ` \\\n  -H 'x-portkey-config: ${config}'` : "";
  const python = config ? `,\n    default_headers={"x-portkey-config": "${config}"},` : ",";
  const typescript = config ? `,\n  defaultHeaders: { "x-portkey-config": "${config}" },` : ",";
  return [
    {
      name: "curl",
      code: `curl ${url}/chat/completions \\\n  -H 'Authorization: Bearer ${key}' \\\n  -H 'Content-Type: application/json'${header} \\\n  -d '{"model": "${model}", "messages": [{"role": "user", "content": "Hello"}]}'`,
    },
    {
      name: "Python",
      code: `from openai import OpenAI\n\nclient = OpenAI(\n    base_url="${url}",\n    api_key="${key}"${python}\n)\nanswer = client.chat.completions.create(\n    model="${model}",\n    messages=[{"role": "user", "content": "Hello"}],\n)\nprint(answer.choices[0].message.content)`,
    },
    {
      name: "TypeScript",
      code: `import OpenAI from "openai";\n\nconst client = new OpenAI({\n  baseURL: "${url}",\n  apiKey: "${key}"${typescript}\n});\nconst answer = await client.chat.completions.create({\n  model: "${model}",\n  messages: [{ role: "user", content: "Hello" }],\n});\nconsole.log(answer.choices[0]?.message.content);`,
    },
  ];
}
