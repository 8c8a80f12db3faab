-- Which of these tables and schemas are not there, by their places.
SELECT w.place - 1 AS place
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w(kind, name, place)
WHERE NOT CASE w.kind WHEN 'schema' THEN to_regnamespace(quote_ident(w.name)) IS NOT NULL
                      ELSE to_regclass(w.name) IS NOT NULL END;
