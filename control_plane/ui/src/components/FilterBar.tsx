import { CloseButton, Combobox, TextInput, useCombobox } from "@mantine/core";
import { IconFilter, IconX } from "@tabler/icons-react";
import { useEffect, useMemo, useRef, useState } from "react";
import { useKeys } from "@/app/keys";
import styles from "@/components/FilterBar.module.css";
import { completions, type FilterField, without, words } from "@/lib/filter";

interface FilterBarProps {
  value: string | undefined;
  onChange: (filter: string | undefined) => void;
  fields: readonly FilterField[];
  placeholder: string;
  /** What the server says about it, if it refused it. */
  fault?: string | null;
  /** Told as a field is being written, so that its values can be asked for. */
  onField?: (name: string) => void;
}

/** The one filter language: typed with completion, and shown as chips that can be taken away. */
export function FilterBar({ value = "", onChange, fields, placeholder, fault, onField }: FilterBarProps) {
  const [text, setText] = useState(value);
  const [caret, setCaret] = useState(0);
  const input = useRef<HTMLInputElement>(null);
  const combobox = useCombobox({ onDropdownClose: () => combobox.resetSelectedOption() });
  useEffect(() => setText(value), [value]);
  useKeys("List", [{ keys: "/", label: "Filter", run: () => input.current?.focus() }]);
  const offered = useMemo(() => completions(text, caret, fields), [text, caret, fields]);
  const here = words(text).find((word) => word.start <= caret && caret <= word.end);
  const field = here?.operator ? here.field : undefined;
  useEffect(() => {
    if (field) onField?.(field);
  }, [field, onField]);
  const apply = (next: string) => {
    setText(next.trim());
    combobox.closeDropdown();
    onChange(next.trim() || undefined);
  };
  const applied = words(value);
  return (
    <div className={styles.bar}>
      <Combobox
        store={combobox}
        onOptionSubmit={(index) => {
          const option = offered[Number(index)];
          if (!option) return;
          setText(option.text);
          setCaret(option.text.length);
          combobox.resetSelectedOption();
          requestAnimationFrame(() => input.current?.setSelectionRange(option.text.length, option.text.length));
          if (option.text.endsWith(" ")) apply(option.text);
        }}
      >
        <Combobox.Target>
          <TextInput
            ref={input}
            size="sm"
            aria-label="Filter"
            placeholder={placeholder}
            spellCheck={false}
            autoComplete="off"
            leftSection={<IconFilter size={15} />}
            rightSection={text ? <CloseButton size="sm" aria-label="Clear filter" onClick={() => apply("")} /> : null}
            value={text}
            error={fault ?? undefined}
            onFocus={() => combobox.openDropdown()}
            onBlur={() => combobox.closeDropdown()}
            onSelect={(event) => setCaret(event.currentTarget.selectionStart ?? 0)}
            onChange={(event) => {
              setText(event.currentTarget.value);
              setCaret(event.currentTarget.selectionStart ?? 0);
              combobox.openDropdown();
              combobox.resetSelectedOption();
            }}
            onKeyDown={(event) => {
              if (event.key === "Enter" && combobox.getSelectedOptionIndex() < 0) {
                event.preventDefault();
                apply(text);
              }
              if (event.key === "Escape") {
                event.preventDefault();
                if (combobox.dropdownOpened) combobox.closeDropdown();
                else input.current?.blur();
              }
            }}
          />
        </Combobox.Target>
        <Combobox.Dropdown hidden={offered.length === 0}>
          <Combobox.Options>
            {offered.map((option, index) => (
              <Combobox.Option key={option.label} value={String(index)}>
                <span className={styles.option}>
                  <span className="mono">{option.label}</span>
                  <span className={styles.detail}>{option.detail}</span>
                </span>
              </Combobox.Option>
            ))}
          </Combobox.Options>
        </Combobox.Dropdown>
      </Combobox>
      {applied.length > 0 && (
        <ul className={styles.chips} aria-label="Filters in effect">
          {applied.map((word) => (
            <li key={`${word.start}-${word.text}`} className={styles.chip}>
              <span className="mono">{word.text}</span>
              <button
                type="button"
                aria-label={`Remove filter ${word.text}`}
                onClick={() => apply(without(value, word))}
              >
                <IconX size={12} />
              </button>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
