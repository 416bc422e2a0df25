import { Input, NumberInput, PasswordInput, Select, Stack, Switch, Textarea, TextInput } from "@mantine/core";
import { spoken } from "@/lib/format";
import { alternatives, type Schema } from "@/lib/json";

export type Values = Record<string, unknown>;

interface SchemaFormProps {
  schema: Schema;
  values: Values;
  onChange: (values: Values) => void;
  /** What is wrong with the whole of it. */
  fault?: string | undefined;
  /** What is wrong with a field, by its name. */
  faultOf?: (field: string) => string | undefined;
}

/** A form for a flat object, made from its JSON schema: a new provider's credential gets one without work here. */
export function SchemaForm({ schema, values, onChange, fault, faultOf }: SchemaFormProps) {
  const required = new Set(schema.required);
  return (
    <Stack gap="sm">
      {Object.entries(schema.properties ?? {}).map(([name, property]) => (
        <Field
          key={name}
          name={name}
          schema={alternatives(property, schema).find((one) => one.type !== "null") ?? property}
          note={property.description}
          required={required.has(name)}
          value={values[name]}
          fault={faultOf?.(name)}
          onChange={(value) => onChange({ ...values, [name]: value === "" ? undefined : value })}
        />
      ))}
      {fault && (
        <Input.Error role="alert" data-error="true">
          {fault}
        </Input.Error>
      )}
    </Stack>
  );
}

interface FieldProps {
  name: string;
  schema: Schema;
  note: string | undefined;
  required: boolean;
  value: unknown;
  fault: string | undefined;
  onChange: (value: unknown) => void;
}

function Field({ name, schema, note, required, value, fault, onChange }: FieldProps) {
  const said = {
    label: titled(schema.title ?? spoken(name)),
    description: note ?? schema.description,
    required,
    error: fault,
  };
  const text = typeof value === "string" ? value : "";
  if (schema.enum) {
    const data = schema.enum.map(String);
    return <Select {...said} data={data} value={text || null} onChange={(chosen) => onChange(chosen ?? "")} />;
  }
  if (schema.type === "boolean") {
    const { required: _, ...rest } = said;
    return <Switch {...rest} checked={value === true} onChange={(event) => onChange(event.currentTarget.checked)} />;
  }
  if (schema.type === "integer" || schema.type === "number") {
    return <NumberInput {...said} value={typeof value === "number" ? value : ""} onChange={onChange} />;
  }
  if (schema.format === "password") {
    return (
      <PasswordInput
        {...said}
        autoComplete="off"
        value={text}
        maxLength={schema.maxLength}
        onChange={(event) => onChange(event.currentTarget.value)}
      />
    );
  }
  if ((schema.maxLength ?? 0) > 5_000) {
    return (
      <Textarea
        {...said}
        autosize
        minRows={3}
        maxRows={10}
        value={text}
        onChange={(event) => onChange(event.currentTarget.value)}
      />
    );
  }
  return (
    <TextInput
      {...said}
      value={text}
      maxLength={schema.maxLength}
      onChange={(event) => onChange(event.currentTarget.value)}
    />
  );
}

function titled(text: string): string {
  const plain = text.toLowerCase();
  return (plain.charAt(0).toUpperCase() + plain.slice(1))
    .replace(/\bapi\b/i, "API")
    .replace(/\burl\b/i, "URL")
    .replace(/\bca\b/i, "CA");
}
