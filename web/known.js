/* What are the classes of published data sets called, whose files hold numbers only?
 *
 * Names where the files can't say them: for people, never for a spec. */
const NAMES = {
  cifar10: ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
  "fashion-mnist": ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"],
};

/** The name of class `label` of a data set: from its folders, or as published, or its number. */
export function className(set, found, label) {
  const names = found?.class_names || NAMES[set?.format] || NAMES[set?.name];
  return names && names.length >= (found?.classes || 0) && names[label] ? names[label] : `class ${label}`;
}
